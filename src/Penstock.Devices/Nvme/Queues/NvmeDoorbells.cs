using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// What hosts say by doorbells: written to the registers, which is a call each time, or for I/O queues left in a page of the host's memory
/// (shadow doorbells, NVM Express Base 1.4, section 7.13) where the controller looks while it has work. A second page tells the host from
/// which value on it has to write the register all the same. Or the registers are memory that hosts map, and the controller looks at them all
/// the time. Used on the strand.
/// </summary>
internal sealed class NvmeDoorbells(NvmeQueueSet queues, NvmeEvents events, SharedMemory? polled)
{
    private const int EntrySize = NvmeRegisters.DoorbellSize;
    private const int PairSize = 2 * EntrySize;
    private const uint ValueMask = 0xffff;

    private readonly byte[] _values = new byte[NvmeLimits.PageSize];

    private int _writes;

    /// <summary>Where the shadow doorbells are, when <see cref="HasShadow"/>.</summary>
    internal ulong ShadowAddress { get; private set; }

    /// <summary>Where the values are from which on the host has to write the registers.</summary>
    internal ulong EventAddress { get; private set; }

    internal bool HasShadow { get; private set; }

    /// <summary>Whether the last look at the shadow doorbells was one at memory, not a message.</summary>
    internal bool IsShadowNear { get; private set; }

    /// <summary>A write to the doorbell registers.</summary>
    /// <param name="index">Which: twice the queue's number, and one more for a completion queue.</param>
    /// <param name="value">The new tail or head.</param>
    internal void Write(int index, uint value)
    {
        int id = index / 2;
        bool isCompletion = index % 2 != 0;
        _writes++;
        if (isCompletion ? queues.Completion(id) is null : queues.Submission(id) is null)
        {
            events.RaiseError(NvmeAsyncErrorInfo.AbsentDoorbell);
        }
        else if (id == 0 || !HasShadow)
        {
            Apply(id, isCompletion, value);
        }
    }

    /// <summary>Takes two pages of the host into use, and carries what the registers said of the queues that exist there.</summary>
    /// <returns>None; the error of writing, and then the registers stay in use.</returns>
    internal Errno UseShadow(in NvmeHostMemory memory, ulong shadow, ulong eventPage)
    {
        Errno errno;
        int writes;
        Span<byte> pair = stackalloc byte[PairSize];
        do
        {
            // While the values travel by message the registers can be written: then they have to travel again.
            writes = _writes;
            errno = Errno.None;
            for (int id = 1; id < queues.End && errno == Errno.None; id++)
            {
                MemoryMarshal.Write(pair, queues.Submission(id)?.Tail ?? 0);
                MemoryMarshal.Write(pair[EntrySize..], queues.Completion(id)?.Head ?? 0);
                errno = memory.Write(shadow + (ulong)(id * PairSize), pair);
            }
        }
        while (errno == Errno.None && writes != _writes);

        if (errno == Errno.None)
        {
            ShadowAddress = shadow;
            EventAddress = eventPage;
            HasShadow = true;
            ForgetArmed();
        }

        return errno;
    }

    internal void Reset()
    {
        polled?.Span(NvmeRegisters.Doorbells, NvmeLimits.PageSize).Clear();
        HasShadow = false;
        ShadowAddress = 0;
        EventAddress = 0;
    }

    /// <summary>Adds what the host has set up to a table.</summary>
    internal void Declare(DeviceStateTable table) => table
        .Flag("shadow doorbells", () => HasShadow, value => HasShadow = value)
        .Number("shadow doorbells at", 8, () => ShadowAddress, value => ShadowAddress = value)
        .Number("event indexes at", 8, () => EventAddress, value => EventAddress = value);

    /// <summary>A queue begins at 0, whatever the host's pages said of the one before it.</summary>
    internal Errno Clear(in NvmeHostMemory memory, int id, bool isCompletion)
    {
        polled?.Span(NvmeRegisters.Doorbells + (ulong)((id * PairSize) + (isCompletion ? EntrySize : 0)), EntrySize).Clear();
        if (!HasShadow)
        {
            return Errno.None;
        }

        ulong offset = (ulong)((id * PairSize) + (isCompletion ? EntrySize : 0));
        ReadOnlySpan<byte> zero = stackalloc byte[EntrySize];
        Errno errno = memory.Write(ShadowAddress + offset, zero);
        return errno != Errno.None ? errno : memory.Write(EventAddress + offset, zero);
    }

    /// <summary>Looks at the registers that are memory.</summary>
    internal void LoadPolled()
    {
        ReadOnlySpan<uint> values = MemoryMarshal.Cast<byte, uint>(polled!.Span(NvmeRegisters.Doorbells, NvmeLimits.PageSize));
        for (int id = 0; id < queues.End; id++)
        {
            Apply(id, false, Volatile.Read(in values[2 * id]));
            Apply(id, true, Volatile.Read(in values[(2 * id) + 1]));
        }
    }

    /// <summary>Looks at the shadow doorbells.</summary>
    /// <returns>None; the error of reading them.</returns>
    internal unsafe Errno Load(DmaPort port, DmaTransfer transfer)
    {
        int size = queues.End * PairSize;
        using (DmaScope scope = port.Enter())
        {
            if (scope.TryBorrow(ShadowAddress, (ulong)size, DmaAccess.Read, out DmaRun run) && run.Length == (ulong)size)
            {
                var values = (uint*)run.Pointer;
                for (int id = 1; id < queues.End; id++)
                {
                    // SAFETY: two values for each queue, all inside the run.
                    Apply(id, false, Volatile.Read(ref values[2 * id]));
                    Apply(id, true, Volatile.Read(ref values[(2 * id) + 1]));
                }

                IsShadowNear = true;
                return Errno.None;
            }
        }

        IsShadowNear = false;
        Errno errno = port.Read(ShadowAddress, _values.AsSpan(0, size), transfer);
        if (errno == Errno.None && !transfer.IsCanceled)
        {
            ReadOnlySpan<uint> values = MemoryMarshal.Cast<byte, uint>(_values.AsSpan(0, size));
            for (int id = 1; id < queues.End; id++)
            {
                Apply(id, false, values[2 * id]);
                Apply(id, true, values[(2 * id) + 1]);
            }
        }

        return errno;
    }

    /// <summary>
    /// Asks the host to write the registers from now on: when it adds to a submission queue; when it reads a completion queue that is full,
    /// or that <paramref name="wantsHeads"/> for. The caller looks at the shadow doorbells once more.
    /// </summary>
    internal Errno Arm(in NvmeHostMemory memory, bool wantsHeads)
    {
        Errno errno = Errno.None;
        for (int id = 1; id < queues.End && errno == Errno.None; id++)
        {
            if (queues.Submission(id) is { } submission && submission.Armed != submission.Tail)
            {
                submission.Armed = submission.Tail;
                errno = Put(memory, EventAddress + (ulong)(id * PairSize), submission.Tail);
            }

            if (errno == Errno.None && queues.Completion(id) is { } completion
                && (completion.IsBlocking || (wantsHeads && completion.Unread != 0)) && completion.Armed != completion.Head)
            {
                completion.Armed = completion.Head;
                errno = Put(memory, EventAddress + (ulong)((id * PairSize) + EntrySize), completion.Head);
            }
        }

        // Between telling the host and looking once more.
        Interlocked.MemoryBarrier();
        return errno;
    }

    /// <summary>What the host's second page says is not known.</summary>
    internal void ForgetArmed()
    {
        for (int id = 1; id < queues.End; id++)
        {
            if (queues.Submission(id) is { } submission)
            {
                submission.Armed = uint.MaxValue;
            }

            if (queues.Completion(id) is { } completion)
            {
                completion.Armed = uint.MaxValue;
            }
        }
    }

    private static Errno Put(in NvmeHostMemory memory, ulong address, uint value)
    {
        Span<byte> bytes = stackalloc byte[EntrySize];
        MemoryMarshal.Write(bytes, value);
        return memory.Write(address, bytes);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void Apply(int id, bool isCompletion, uint value)
    {
        value &= ValueMask;
        if (isCompletion)
        {
            if (queues.Completion(id) is { } completion && value != completion.Head)
            {
                MoveHead(completion, value);
            }
        }
        else if (queues.Submission(id) is { } submission && value != submission.Tail)
        {
            MoveTail(submission, value);
        }
    }

    private void MoveTail(NvmeSubmissionQueue queue, uint value)
    {
        if (value < queue.Entries)
        {
            queue.Tail = value;
            queue.BadDoorbell = uint.MaxValue;
        }
        else if (queue.BadDoorbell != value)
        {
            // Told once: in a page that is looked at again and again it stays.
            queue.BadDoorbell = value;
            events.RaiseError(NvmeAsyncErrorInfo.BadDoorbellValue);
        }
    }

    private void MoveHead(NvmeCompletionQueue queue, uint value)
    {
        uint moved = value >= queue.Head ? value - queue.Head : value + queue.Entries - queue.Head;
        if (value < queue.Entries && moved <= queue.Unread)
        {
            queue.Head = value;
            queue.IsBlocking = false;
            queue.BadDoorbell = uint.MaxValue;
        }
        else if (queue.BadDoorbell != value)
        {
            queue.BadDoorbell = value;
            events.RaiseError(NvmeAsyncErrorInfo.BadDoorbellValue);
        }
    }
}
