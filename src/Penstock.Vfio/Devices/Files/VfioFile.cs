using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// An open file of VFIO that others than its user may refer to: a <see cref="VfioGroup"/>, a <see cref="VfioDeviceFile"/> or a
/// <see cref="VfioCdevFile"/>. The object is the file's identity: two opens of a device are two files, and however many numbers a file
/// has it is one. All members may be called from any thread.
/// </summary>
public abstract partial class VfioFile : IDisposable
{
    private int _references = 1;
    private int _disposed;

    private protected VfioFile()
    {
    }

    /// <summary>Whether its user has closed it; its calls then fail.</summary>
    public bool IsClosed => Volatile.Read(ref _disposed) != 0;

    /// <summary>The group behind the file; null when it has none any more.</summary>
    public abstract IommuGroup? Group { get; }

    /// <summary>
    /// Whether DMA through the file can never bypass the CPU's caches: the units of all registered devices of a group, or of the one
    /// device, say so.
    /// </summary>
    public abstract bool IsEnforcedCoherent { get; }

    /// <summary>A call with the kernel's number and structure, which is answered in place.</summary>
    /// <param name="request">The number.</param>
    /// <param name="argument">The structure. Pointers and descriptors in it are the caller's.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">
    /// ENOTTY: unknown number; EFAULT: the structure or what it points to is not there; EINVAL: too short; the errors of the typed call.
    /// </exception>
    public abstract int Ioctl(uint request, Span<byte> argument);

    /// <summary>Keeps the file open also after its user closed it.</summary>
    /// <returns>Disposing it lets go; the last one to do so closes the file.</returns>
    /// <exception cref="VfioException">EBADF: the file is closed.</exception>
    public IDisposable Hold()
    {
        int seen = Volatile.Read(ref _references);
        while (seen != 0)
        {
            int found = Interlocked.CompareExchange(ref _references, seen + 1, seen);
            if (found == seen)
            {
                return new Holder(this);
            }

            seen = found;
        }

        throw new VfioException(Errno.EBADF, "keeping a file open", "the file is closed");
    }

    /// <summary>Closes the file for its user. It takes effect with the last that holds it.</summary>
    /// <exception cref="VfioException">
    /// EDEADLK: the calling thread is inside a scope of the group's domain, and closing would wait for it; the file stays open.
    /// </exception>
    public void Dispose()
    {
        if (!IsClosed && Group?.Domain is { IsEnteredByCaller: true })
        {
            throw new VfioException(Errno.EDEADLK, "closing a file", "the calling thread is inside a scope of its group's domain; leave it first");
        }

        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Revoke();
            Drop();
        }

        GC.SuppressFinalize(this);
    }

    /// <summary>The user closed the file, and can call nothing more.</summary>
    private protected abstract void Revoke();

    /// <summary>Nobody holds the file any more.</summary>
    private protected abstract void Closed();

    private void Drop()
    {
        if (Interlocked.Decrement(ref _references) == 0)
        {
            Closed();
        }
    }

    private sealed class Holder(VfioFile file) : IDisposable
    {
        private VfioFile? _file = file;

        public void Dispose() => Interlocked.Exchange(ref _file, null)?.Drop();
    }
}
