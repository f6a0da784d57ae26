using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// Memory that a user offers to its devices. One of four kinds: mapped from a descriptor, copied through a descriptor, reached by
/// messages, or addresses of this process. A mapping in an I/O address space holds a reference (<see cref="Hold"/>/<see cref="Release"/>);
/// the memory is given back when the last reference goes. All members may be called from any thread.
/// </summary>
public abstract class UserMemory
{
    private readonly bool _isCounted;
    private long _references = 1;

    /// <summary>Creates the memory with one reference, the creator's.</summary>
    /// <param name="length">Length in bytes.</param>
    protected UserMemory(ulong length)
        : this(length, isCounted: true)
    {
    }

    /// <summary>
    /// Creates memory; one of which nothing is to be given back needs no count of references, which would be two atomic operations for each
    /// mapping.
    /// </summary>
    private protected UserMemory(ulong length, bool isCounted)
    {
        Length = length;
        _isCounted = isCounted;
    }

    /// <summary>Length in bytes; offsets run from 0.</summary>
    public ulong Length { get; }

    /// <summary>Whether access needs a message to the peer, and therefore cannot happen inside a register access.</summary>
    public virtual bool NeedsMessages => false;

    /// <summary>
    /// Address in this process of offset 0 when the memory may be touched directly, else 0. It stays valid while a reference is held.
    /// </summary>
    public virtual nint DirectAddress => 0;

    /// <summary>What a mapping of this memory may grant; read-only descriptors allow no writes.</summary>
    public virtual DmaAccess Allowed => DmaAccess.ReadWrite;

    /// <summary>Whether it is a device's registers instead of ordinary memory: it can be mapped, but not pinned, and nobody is charged for it.</summary>
    public virtual bool IsReserved => false;

    /// <summary>
    /// Gives out the file behind the memory, for another process to map. That process then reaches the memory, whatever becomes of
    /// references here, until <see cref="Withdraw"/>.
    /// </summary>
    /// <param name="offset">Receives where in the file offset 0 is, in bytes.</param>
    /// <returns>The file's descriptor, which stays the memory's; null: there is no file to give.</returns>
    /// <exception cref="SystemCallException">What a later <see cref="Withdraw"/> needs is not there (EMFILE, ENOMEM); nothing was given.</exception>
    public virtual OwnedDescriptor? Share(out ulong offset)
    {
        offset = 0;
        return null;
    }

    /// <summary>
    /// What <see cref="Share"/> gave out does not reach this memory any more; the memory keeps its content and its addresses. Nothing
    /// happens when nothing was given.
    /// </summary>
    /// <exception cref="SystemCallException">Not all of the content could be kept (ENOSPC, ENOMEM); the memory is withdrawn all the same.</exception>
    public virtual void Withdraw()
    {
    }

    /// <summary>Takes one more reference.</summary>
    public void Hold()
    {
        if (_isCounted && Interlocked.Increment(ref _references) <= 1)
        {
            Interlocked.Decrement(ref _references);
            throw new ObjectDisposedException(GetType().Name);
        }
    }

    /// <summary>Gives a reference back; with the last one the memory goes.</summary>
    public void Release()
    {
        if (_isCounted && Interlocked.Decrement(ref _references) == 0)
        {
            Free();
        }
    }

    /// <summary>
    /// Copies out of the memory. Bounds are the caller's to check against <see cref="Length"/>; past it the answer is EFAULT.
    /// </summary>
    /// <param name="offset">First byte.</param>
    /// <param name="destination">Where to copy, and how much.</param>
    /// <returns>None; EFAULT when the memory is not there any more; EIO when the peer failed.</returns>
    public abstract Errno Read(ulong offset, Span<byte> destination);

    /// <summary>Copies into the memory; as <see cref="Read"/>.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="source">What to copy.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public abstract Errno Write(ulong offset, ReadOnlySpan<byte> source);

    /// <summary>Copies out of the memory without blocking a thread on the peer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="destination">Where to copy; must not be touched until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public virtual ValueTask<Errno> ReadAsync(ulong offset, Memory<byte> destination, CancellationToken cancellation = default) =>
        new(Read(offset, destination.Span));

    /// <summary>Copies into the memory without blocking a thread on the peer.</summary>
    /// <param name="offset">First byte.</param>
    /// <param name="source">What to copy; must not change until done.</param>
    /// <param name="cancellation">Gives up waiting for the peer.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    public virtual ValueTask<Errno> WriteAsync(ulong offset, ReadOnlyMemory<byte> source, CancellationToken cancellation = default) =>
        new(Write(offset, source.Span));

    /// <summary>Copies for a transfer, which messages need to know.</summary>
    internal virtual Errno Copy(ulong offset, Span<byte> data, DmaAccess access, DmaTransfer transfer) =>
        access == DmaAccess.Read ? Read(offset, data) : Write(offset, data);

    /// <summary>As <see cref="Copy"/>, without blocking a thread on the peer.</summary>
    internal virtual ValueTask<Errno> CopyAsync(
        ulong offset, Memory<byte> data, DmaAccess access, DmaTransfer transfer, CancellationToken cancellation) =>
        access == DmaAccess.Read ? ReadAsync(offset, data, cancellation) : WriteAsync(offset, data, cancellation);

    /// <summary>Asks the kernel about a user's file.</summary>
    private protected static FileFacts FactsOf(string what, OwnedDescriptor descriptor)
    {
        try
        {
            return FileFacts.Of(descriptor.Value);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, e.Message);
        }
    }

    /// <summary>Gives the memory back. Called once, when no reference is left.</summary>
    protected abstract void Free();
}
