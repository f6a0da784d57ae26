using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>
/// A submission and a completion queue with their doorbells and the numbers of the commands that are under way. One thread at a time. Nothing here
/// trusts the controller: what it says is copied, then checked, and a lie ends in <see cref="Fault"/>. Allocates nothing.
/// </summary>
internal sealed unsafe class NvmeRing
{
    private const ulong Page = NvmeLimits.PageSize;

    private readonly NvmeDoorbells _doorbells;
    private readonly byte* _submission;
    private readonly byte* _completion;
    private readonly byte* _lists;
    private readonly ulong _listsIova;
    private readonly int[] _free;
    private readonly bool[] _underWay;
    private int _freeCount;
    private int _tail;
    private int _announced;
    private int _head;
    private int _acknowledged;
    private ushort _phase = NvmeCompletion.Phase;

    /// <summary>Lays the queues into memory, <see cref="SizeOf"/> bytes at a page.</summary>
    internal NvmeRing(int id, int entries, NvmeDoorbells doorbells, byte* memory, ulong iova)
    {
        Id = id;
        Entries = entries;
        _doorbells = doorbells;
        Depth = entries - 1;
        _free = new int[Depth];
        _underWay = new bool[Depth];

        // SAFETY: the caller's memory is SizeOf(entries) long.
        _submission = memory;
        SubmissionIova = iova;
        ulong at = RoundUp((ulong)entries * NvmeCommand.Length);
        _completion = memory + at;
        CompletionIova = iova + at;
        at += RoundUp((ulong)entries * NvmeCompletion.Length);
        _lists = memory + at;
        _listsIova = iova + at;
        Reset();
    }

    internal int Id { get; }

    internal int Entries { get; }

    /// <summary>How many commands can be under way: one entry of a queue stays empty.</summary>
    internal int Depth { get; }

    internal int FreeNumbers => _freeCount;

    internal ulong SubmissionIova { get; }

    internal ulong CompletionIova { get; }

    /// <summary>What the controller did that it must not do; null when nothing. The ring is of no use then, until it is reset.</summary>
    internal string? Fault { get; private set; }

    /// <summary>Most bytes of a command: what one page of PRPs names.</summary>
    internal static int LargestTransfer => (int)(Page / NvmeLimits.PrpEntrySize * Page);

    /// <summary>Bytes of memory for queues with so many entries: both queues, and a page of PRPs for each command.</summary>
    internal static ulong SizeOf(int entries) =>
        RoundUp((ulong)entries * NvmeCommand.Length) + RoundUp((ulong)entries * NvmeCompletion.Length) + ((ulong)(entries - 1) * Page);

    /// <summary>Empty queues; nothing is under way. The controller must not use them now.</summary>
    internal void Reset()
    {
        // SAFETY: the queue's own memory.
        new Span<byte>(_completion, Entries * NvmeCompletion.Length).Clear();
        Array.Clear(_underWay);
        for (int i = 0; i < Depth; i++)
        {
            _free[i] = Depth - 1 - i;
        }

        _freeCount = Depth;
        _tail = _announced = _head = _acknowledged = 0;
        _phase = NvmeCompletion.Phase;
        Fault = null;
    }

    /// <summary>Takes a command number.</summary>
    internal bool TryTakeNumber(out int number)
    {
        if (_freeCount == 0)
        {
            number = -1;
            return false;
        }

        number = _free[--_freeCount];
        return true;
    }

    internal void FreeNumber(int number) => _free[_freeCount++] = number;

    /// <summary>Says where a command's data is; its end must be past its start.</summary>
    internal void SetData(ref NvmeCommand command, int number, ulong iova, int length)
    {
        command.Prp1 = iova;
        command.Prp2 = 0;
        long rest = length - (long)(Page - (iova & (Page - 1)));
        if (rest <= 0)
        {
            return;
        }

        ulong next = (iova & ~(Page - 1)) + Page;
        if (rest <= (long)Page)
        {
            command.Prp2 = next;
            return;
        }

        // SAFETY: each number has a page, and LargestTransfer keeps the list on it.
        ulong* list = (ulong*)(_lists + ((ulong)number * Page));
        for (int i = 0; rest > 0; i++, rest -= (long)Page, next += Page)
        {
            list[i] = next;
        }

        command.Prp2 = _listsIova + ((ulong)number * Page);
    }

    /// <summary>Puts a command into the queue; the controller learns of it with <see cref="Announce"/>.</summary>
    internal void Put(ref NvmeCommand command, int number)
    {
        command.CommandId = (ushort)number;
        _underWay[number] = true;

        // SAFETY: the tail is inside the queue; no more commands are under way than it has places.
        Unsafe.WriteUnaligned(_submission + (_tail * NvmeCommand.Length), command);
        _tail = _tail + 1 == Entries ? 0 : _tail + 1;
    }

    /// <summary>Tells the controller of all commands put into the queue.</summary>
    internal Errno Announce()
    {
        if (_tail == _announced)
        {
            return Errno.None;
        }

        _announced = _tail;
        return _doorbells.WriteTail(Id, (uint)_tail);
    }

    /// <summary>Takes a completion. Its number stays taken until <see cref="FreeNumber"/>.</summary>
    internal bool TryTakeCompletion(out int number, out NvmeStatus status, out uint result)
    {
        // SAFETY: the head is inside the queue.
        byte* entry = _completion + (_head * NvmeCompletion.Length);

        // Acquire: the phase first, then the rest of the entry, and the data.
        ushort word = Volatile.Read(ref *(ushort*)(entry + NvmeCompletion.StatusOffset));
        number = -1;
        status = NvmeStatus.Success;
        result = 0;
        if ((word & NvmeCompletion.Phase) != _phase || Fault is not null)
        {
            return false;
        }

        // Copied once, then checked: the device may go on writing.
        NvmeCompletion completion = Unsafe.ReadUnaligned<NvmeCompletion>(entry);
        if (completion.CommandId >= Depth || !_underWay[completion.CommandId] || completion.SubmissionHead >= Entries || completion.SubmissionQueueId != Id)
        {
            Fault = $"queue {Id}: the completion at {_head} says command {completion.CommandId} of queue {completion.SubmissionQueueId}, head {completion.SubmissionHead}, and no such command is under way";
            return false;
        }

        number = completion.CommandId;
        status = (NvmeStatus)(word >> NvmeCompletion.StatusShift);
        result = completion.Result;
        _underWay[number] = false;
        if (++_head == Entries)
        {
            _head = 0;
            _phase ^= NvmeCompletion.Phase;
        }

        return true;
    }

    /// <summary>Tells the controller which completions were taken.</summary>
    internal Errno Acknowledge()
    {
        if (_head == _acknowledged)
        {
            return Errno.None;
        }

        _acknowledged = _head;
        return _doorbells.WriteHead(Id, (uint)_head);
    }

    private static ulong RoundUp(ulong bytes) => (bytes + Page - 1) & ~(Page - 1);
}
