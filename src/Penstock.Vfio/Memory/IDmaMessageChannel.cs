using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A way to reach a user's memory by messages (vfio-user DMA_READ and DMA_WRITE). Implementations split long transfers into
/// chunks that the peer accepts, and keep both directions of the connection alive while they wait.
/// </summary>
public interface IDmaMessageChannel
{
    /// <summary>Reads the user's memory; blocks until the peer answers or its time is up.</summary>
    /// <param name="iova">Address in the user's I/O address space.</param>
    /// <param name="destination">Where to copy.</param>
    /// <param name="transfer">Whose it is; no message is sent for it once it is cancelled.</param>
    /// <returns>None; the peer's errno; ETIMEDOUT; ENOTCONN when the connection has ended; EDEADLK inside a register access; ECANCELED.</returns>
    Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer);

    /// <summary>Writes the user's memory; as <see cref="Read"/>.</summary>
    /// <param name="iova">Address in the user's I/O address space.</param>
    /// <param name="source">What to copy.</param>
    /// <param name="transfer">Whose it is; no message is sent for it once it is cancelled.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer);

    /// <summary>As <see cref="Read"/>, without blocking a thread.</summary>
    /// <param name="iova">Address in the user's I/O address space.</param>
    /// <param name="destination">Where to copy; must not be touched until done.</param>
    /// <param name="transfer">Whose it is; no message is sent for it once it is cancelled.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation);

    /// <summary>As <see cref="Write"/>, without blocking a thread.</summary>
    /// <param name="iova">Address in the user's I/O address space.</param>
    /// <param name="source">What to copy; must not change until done.</param>
    /// <param name="transfer">Whose it is; no message is sent for it once it is cancelled.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    /// <returns>As <see cref="Read"/>.</returns>
    ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation);
}
