using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <summary>
/// The user's end of message DMA: answers from a <see cref="TestMemory"/>, counts, and can be made to fail, or to do something while a
/// message is under way. Members may be called from any thread.
/// </summary>
public sealed class TestMessageChannel : IDmaMessageChannel
{
    private readonly TestMemory _memory;
    private readonly Lock _gate = new();
    private readonly List<(ulong Iova, ulong Offset, ulong Size)> _places = [];
    private long _reads;
    private long _writes;

    internal TestMessageChannel(TestMemory memory) => _memory = memory;

    /// <summary>Messages that read the memory.</summary>
    public long Reads => Interlocked.Read(ref _reads);

    /// <summary>Messages that write the memory.</summary>
    public long Writes => Interlocked.Read(ref _writes);

    /// <summary>What messages are answered with: ETIMEDOUT, ENOTCONN, or whatever a peer says. The bytes are moved all the same.</summary>
    public Errno Answer { get; set; }

    /// <summary>
    /// Called in the middle of each message, on the thread that waits for it, before the bytes are moved. Register accesses are served
    /// meanwhile, as they are with a real peer.
    /// </summary>
    public Action? Meanwhile { get; set; }

    /// <inheritdoc/>
    public Errno Read(ulong iova, Span<byte> destination, DmaTransfer transfer)
    {
        Interlocked.Increment(ref _reads);
        Meanwhile?.Invoke();
        if (!TryFind(iova, destination.Length, out int offset))
        {
            return Errno.EFAULT;
        }

        _memory.Bytes.Slice(offset, destination.Length).CopyTo(destination);
        return Answer;
    }

    /// <inheritdoc/>
    public Errno Write(ulong iova, ReadOnlySpan<byte> source, DmaTransfer transfer)
    {
        Interlocked.Increment(ref _writes);
        Meanwhile?.Invoke();
        if (!TryFind(iova, source.Length, out int offset))
        {
            return Errno.EFAULT;
        }

        source.CopyTo(_memory.Bytes[offset..]);
        return Answer;
    }

    /// <inheritdoc/>
    public ValueTask<Errno> ReadAsync(ulong iova, Memory<byte> destination, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Read(iova, destination.Span, transfer));

    /// <inheritdoc/>
    public ValueTask<Errno> WriteAsync(ulong iova, ReadOnlyMemory<byte> source, DmaTransfer transfer, CancellationToken cancellation) =>
        new(Write(iova, source.Span, transfer));

    internal void Place(ulong iova, ulong offset, ulong size)
    {
        lock (_gate)
        {
            // What is mapped there already stays in front: then the map is going to be refused.
            _places.Add((iova, offset, size));
        }
    }

    /// <summary>The map was refused: what was there before stays.</summary>
    internal void Withdraw(ulong iova, ulong offset, ulong size)
    {
        lock (_gate)
        {
            int last = _places.LastIndexOf((iova, offset, size));
            if (last >= 0)
            {
                _places.RemoveAt(last);
            }
        }
    }

    /// <summary>What was mapped at an address is so no more.</summary>
    internal void Remove(ulong iova)
    {
        lock (_gate)
        {
            int first = _places.FindIndex(p => p.Iova == iova);
            if (first >= 0)
            {
                _places.RemoveAt(first);
            }
        }
    }

    /// <summary>From now on every message finds nothing.</summary>
    internal void Close()
    {
        lock (_gate)
        {
            _places.Clear();
        }
    }

    private bool TryFind(ulong iova, int length, out int offset)
    {
        lock (_gate)
        {
            // The oldest first, see Place.
            foreach ((ulong start, ulong into, ulong size) in _places)
            {
                if (iova >= start && iova - start <= size && (ulong)length <= size - (iova - start))
                {
                    offset = (int)(into + (iova - start));
                    return true;
                }
            }
        }

        offset = 0;
        return false;
    }
}
