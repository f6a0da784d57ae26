using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// An open file of VFIO that others than its user may refer to: a group, a device of a group, or a device by itself. All members may be
/// called from any thread.
/// </summary>
public abstract partial class VfioFile : IDisposable
{
    private int _references = 1;
    private int _disposed;

    private protected VfioFile()
    {
    }

    /// <summary>
    /// The file that this one is a view of: the calls of a device that was opened by itself belong to the file that it was opened as. The file
    /// itself in all other cases. Two objects with the same identity are one open file.
    /// </summary>
    public virtual VfioFile Identity => this;

    /// <summary>The group behind the file; null when it has none any more.</summary>
    public abstract IommuGroup? Group { get; }

    /// <summary>
    /// Whether DMA through the file can never bypass the CPU's caches: the units of all registered devices of a group, or of the one
    /// device, say so.
    /// </summary>
    public abstract bool IsEnforcedCoherent { get; }

    /// <summary>Keeps the file open also after its user closed it.</summary>
    /// <returns>Disposing it lets go; the last one to do so closes the file.</returns>
    /// <exception cref="VfioException">EBADF: the file is closed.</exception>
    public IDisposable Hold()
    {
        if (Identity != this)
        {
            return Identity.Hold();
        }

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
    public void Dispose()
    {
        if (Identity != this)
        {
            Identity.Dispose();
        }
        else if (Interlocked.Exchange(ref _disposed, 1) == 0)
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
