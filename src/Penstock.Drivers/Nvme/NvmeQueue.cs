using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// A queue pair for one thread that submits commands on memory of its own and polls for their completions: no copy, no lock, no interrupt,
/// nothing allocated. Commands are collected and announced together by <see cref="Announce"/>. Made by <see cref="NvmeDriver.CreateQueue"/>. Only
/// <see cref="IsAlive"/> and <see cref="Dispose"/> may be called by other threads, the latter not beside another call.
/// </summary>
public sealed class NvmeQueue : IDisposable
{
    private readonly NvmeDriver _driver;
    private readonly NvmeRing _ring;
    private readonly DmaMemory _memory;
    private readonly ulong[] _tags;
    private readonly uint _namespace;
    private readonly int _blockSize;
    private volatile bool _lost;
    private volatile bool _freed;
    private Errno _refused;

    internal NvmeQueue(NvmeDriver driver, NvmeRing ring, DmaMemory memory)
    {
        _driver = driver;
        _ring = ring;
        _memory = memory;
        _tags = new ulong[ring.Depth];
        _namespace = driver.Namespace.Id;
        _blockSize = driver.Namespace.BlockSize;
    }

    /// <summary>Its queue identifier.</summary>
    public int Id => _ring.Id;

    /// <summary>How many commands can be under way.</summary>
    public int Depth => _ring.Depth;

    /// <summary>How many commands are under way, those not announced included.</summary>
    public int Outstanding => _ring.Depth - _ring.FreeNumbers;

    /// <summary>
    /// Whether it works. It does not after the controller was reset, nor when the controller completed something that was not under way or took no
    /// doorbell; dispose it then, and make another. A queue that was disposed, or whose driver was, does nothing any more.
    /// </summary>
    public bool IsAlive => !_lost && !_freed && _ring.Fault is null && _refused == Errno.None;

    /// <summary>What went wrong; null while it is alive, or when the controller was reset.</summary>
    public string? Fault => _ring.Fault ?? (_refused == Errno.None ? null : $"queue {Id}: a doorbell was refused with {_refused}");

    /// <summary>Whether the controller was reset since the queue was made, and does not know it.</summary>
    internal bool IsLost => _lost;

    /// <summary>Submits a command on blocks: read, write, compare, write zeroes.</summary>
    /// <param name="opcode">The command.</param>
    /// <param name="lba">First block.</param>
    /// <param name="blocks">How many, 1 to 65536; with data at most <see cref="NvmeDriver.TransferSize"/> bytes.</param>
    /// <param name="iova">
    /// Where the data is: an address inside a <see cref="DmaMemory"/> of the same device, a multiple of 4, with room for all; 0 for
    /// commands without data.
    /// </param>
    /// <param name="tag">Comes back with the completion.</param>
    /// <param name="flags">Bits of dword 12: <see cref="NvmeRwBits"/>.</param>
    /// <returns>False when as many commands as fit are under way, the queue is not alive, or it is no block, more than 65536, or more than 2 MiB.</returns>
    public bool TrySubmit(NvmeIoOpcode opcode, ulong lba, int blocks, ulong iova, ulong tag = 0, uint flags = 0)
    {
        var command = new NvmeCommand
        {
            Opcode = (byte)opcode,
            NamespaceId = _namespace,
            StartingLba = lba,
            Cdw12 = ((uint)(blocks - 1) & NvmeRwBits.BlocksMask) | flags,
        };
        long length = iova == 0 ? 0 : (long)blocks * _blockSize;
        return (uint)(blocks - 1) <= NvmeRwBits.BlocksMask && length <= NvmeRing.LargestTransfer && TrySubmit(ref command, iova, (int)length, tag);
    }

    /// <summary>Submits any I/O command. Its identifier and data pointers are filled in here.</summary>
    /// <param name="command">The command.</param>
    /// <param name="iova">Where its data is, as for the other form.</param>
    /// <param name="length">Bytes of data; 0 for none.</param>
    /// <param name="tag">Comes back with the completion.</param>
    /// <returns>As the other form.</returns>
    public bool TrySubmit(ref NvmeCommand command, ulong iova, int length, ulong tag)
    {
        if (!IsAlive || (uint)length > (uint)NvmeRing.LargestTransfer || !_ring.TryTakeNumber(out int number))
        {
            return false;
        }

        if (length != 0)
        {
            _ring.SetData(ref command, number, iova, length);
        }

        _tags[number] = tag;
        _ring.Put(ref command, number);
        return true;
    }

    /// <summary>Tells the controller of everything that was submitted.</summary>
    /// <returns>None; the device's error, after which the queue is not alive; ECANCELED: the controller was reset, or the queue disposed.</returns>
    public Errno Announce()
    {
        if (_lost || _freed)
        {
            return Errno.ECANCELED;
        }

        Errno errno = _ring.Announce();
        if (errno != Errno.None)
        {
            _refused = errno;
        }

        return errno;
    }

    /// <summary>Takes completions that are there, in the controller's order. Does not wait.</summary>
    /// <param name="completed">Receives them.</param>
    /// <returns>How many.</returns>
    public int Poll(Span<NvmeCompleted> completed)
    {
        int count = 0;
        while (!_freed && count < completed.Length && _ring.TryTakeCompletion(out int number, out NvmeStatus status, out uint result))
        {
            completed[count++] = new NvmeCompleted(_tags[number], status, result);
            _ring.FreeNumber(number);
        }

        if (count != 0 && !_lost)
        {
            Errno errno = _ring.Acknowledge();
            _refused = _refused == Errno.None ? errno : _refused;
        }

        return count;
    }

    /// <summary>Deletes the queue pair. Commands that are under way end before, or are aborted; nobody hears of them.</summary>
    public void Dispose() => _driver.Delete(this);

    /// <summary>The controller does not know it any more.</summary>
    internal void Lose() => _lost = true;

    /// <summary>Nothing of its memory is touched any more.</summary>
    internal void Free()
    {
        _freed = true;
        _memory.Dispose();
    }
}
