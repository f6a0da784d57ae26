using System.Diagnostics;
using System.Globalization;
using Penstock.Interop;
using Penstock.S390;

namespace Penstock.Hypervisor;

/// <summary>
/// This side's end of the memory that is shared with the plugin. Everything that the other side writes there is copied before it is looked at, and
/// nothing of it is an address or an index here. One thread serves; the ring may be read by any.
/// </summary>
internal sealed unsafe class TapChannel : IOuterInvalidations, IDisposable
{
    /// <summary>Condition codes have two bits, whatever the other side writes.</summary>
    private const uint ConditionCodes = 3;

    private readonly MemoryFile _file;
    private readonly MemoryMapping _mapping;
    private readonly byte* _base;
    private readonly Lock _offer = new();
    private uint _seenBell;
    private uint _drained;
    private bool _offering;
    private bool _disposed;

    /// <summary>Makes the memory. This process's number is in it, by which the plugin sees when it dies.</summary>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public TapChannel(ResourceLedger? ledger = null)
    {
        _file = MemoryFile.Create("penstock-tap", TapLayout.Size, MemorySeals.Shrink | MemorySeals.Grow, ledger);
        try
        {
            _mapping = MemoryMapping.Map(_file.Descriptor.Value, 0, TapLayout.Size, MemoryProtection.ReadWrite, ledger);
        }
        catch
        {
            _file.Dispose();
            throw;
        }

        // SAFETY: the mapping has the layout's size and stays until Dispose; every offset below lies inside it.
        _base = _mapping.Pointer;
        Word(TapLayout.VersionOffset) = TapLayout.Version;
        Word(TapLayout.SlotsOffset) = TapLayout.SlotCount;
        Long(TapLayout.SizeOffset) = TapLayout.Size;
        Word(TapLayout.OwnerOffset) = 1;
        Word(TapLayout.ProcessOffset) = (uint)Environment.ProcessId;
        Beat();
        Volatile.Write(ref Long(TapLayout.MagicOffset), TapLayout.Magic);
    }

    /// <summary>A path by which another process of the same user opens the memory while this one lives.</summary>
    public string Path => string.Create(CultureInfo.InvariantCulture, $"/proc/{Environment.ProcessId}/fd/{_file.Descriptor.Value}");

    /// <summary>Whether a plugin has opened it.</summary>
    public bool IsAttached => Volatile.Read(ref Word(TapLayout.AttachedOffset)) != 0;

    /// <summary>Whether the plugin has given this side up and leaves everything to QEMU.</summary>
    public bool IsGivenUp => Volatile.Read(ref Word(TapLayout.GivenUpOffset)) != 0;

    /// <summary>
    /// Before a write into the guest's memory that may not happen once this side is given up, and before the look at <see cref="IsGivenUp"/>: a plugin that gives up
    /// goes on when everybody has left, or after five seconds. A full fence. Any thread.
    /// </summary>
    public void EnterGuest() => Interlocked.Increment(ref Word(TapLayout.InGuestOffset));

    /// <summary>After that write.</summary>
    public void LeaveGuest() => Interlocked.Decrement(ref Word(TapLayout.InGuestOffset));

    /// <summary>Whether every RPCIT is told before QEMU sees it, and none is answered without a word.</summary>
    public bool TellsRpcit
    {
        set => Volatile.Write(ref Word(TapLayout.FlagsOffset), value ? TapLayout.TellRpcit : 0);
    }

    /// <summary>
    /// Offers the plugin this process's end of QEMU's connection, to hold it beside this process. When this process is killed with a message unread, the
    /// connection ends for QEMU as any other; otherwise it would be told of a reset, and QEMU 11.1 aborts then. Any thread.
    /// </summary>
    public void OfferConnection(UnixSocket connection)
    {
        int peer = connection.GetPeerCredentials().ProcessId;
        lock (_offer)
        {
            if (!_disposed)
            {
                // Where processes of one user may not look into each other (Yama), QEMU has to be allowed to.
                CurrentProcess.AllowTracing(peer);
                Volatile.Write(ref _offering, true);
                Volatile.Write(ref Word(TapLayout.ConnectionOffset), (uint)connection.Descriptor + 1);
            }
        }
    }

    /// <summary>Ends what <see cref="OfferConnection"/> has allowed, once the plugin has made use of it.</summary>
    /// <returns>False: it just turned out that the plugin could not.</returns>
    public bool EndOffer()
    {
        uint held = Volatile.Read(ref Word(TapLayout.HeldOffset));
        if (held == 0 || !Volatile.Read(ref _offering))
        {
            return true;
        }

        Volatile.Write(ref _offering, false);
        CurrentProcess.AllowTracing(0);
        return held == TapLayout.Held;
    }

    /// <summary>
    /// Called inside a scope before a translation of the nested path: from now on the plugin waits for the ring to be drained, until it was. Any thread.
    /// </summary>
    public void MarkBusy()
    {
        if (Volatile.Read(ref Word(TapLayout.BusyOffset)) == 0)
        {
            // Before the tables are read: either the plugin sees this, or the tables as they were before its RPCIT are not seen here.
            Interlocked.Exchange(ref Word(TapLayout.BusyOffset), 1);
        }
    }

    /// <summary>Before scopes are waited for: what is translated later marks again.</summary>
    public void ClearBusy() => Interlocked.Exchange(ref Word(TapLayout.BusyOffset), 0);

    /// <summary>How many lines were ever written into the ring, modulo 2^32.</summary>
    public uint Head => Volatile.Read(ref Word(TapLayout.HeadOffset));

    /// <summary>How many of them have taken effect.</summary>
    public uint Drained => _drained;

    /// <summary>Says that this side lives.</summary>
    public void Beat() => Volatile.Write(ref Long(TapLayout.HeartbeatOffset), (ulong)(Stopwatch.GetTimestamp() * (1_000_000_000 / Stopwatch.Frequency)));

    /// <summary>Whether the plugin has rung since the last time that this was asked.</summary>
    public bool HasRung()
    {
        uint bell = Volatile.Read(ref Word(TapLayout.BellOffset));
        bool rung = bell != _seenBell;
        _seenBell = bell;
        return rung;
    }

    /// <summary>Sleeps until the plugin or <see cref="Ring"/> rings.</summary>
    public void AwaitBell(TimeSpan time)
    {
        Word(TapLayout.ServerSleepsOffset) = 1;
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref Word(TapLayout.BellOffset)) == _seenBell)
        {
            // SAFETY: the word is in the mapping, which is there until Dispose, which the serving thread does not outlive.
            Futex.Wait((uint*)(_base + TapLayout.BellOffset), _seenBell, time);
        }

        Volatile.Write(ref Word(TapLayout.ServerSleepsOffset), 0);
    }

    /// <summary>Wakes the serving thread. May be called from any thread.</summary>
    public void Ring()
    {
        Interlocked.Increment(ref Word(TapLayout.BellOffset));

        // SAFETY: as above.
        Futex.WakeAll((uint*)(_base + TapLayout.BellOffset));
    }

    /// <summary>Sets what the plugin does with a function's RPCIT. The mode is written last.</summary>
    /// <param name="index">Which function.</param>
    /// <param name="handle">Its handle.</param>
    /// <param name="mode">What is done.</param>
    /// <param name="registration">Its tables.</param>
    /// <param name="memory">Size of the guest's memory: entries that lead elsewhere are none of the plugin's business.</param>
    public void SetFunction(int index, uint handle, TapFunctionMode mode, in IoatRegistration registration, ulong memory)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)TapLayout.FunctionCount);
        int offset = TapLayout.FunctionsOffset + (index * TapLayout.FunctionLength);
        DmaAperture aperture = registration.Aperture;
        ulong iota = registration.Iota.Value;
        if (Word(offset) != handle || Long(offset + TapLayout.FunctionFirst) != aperture.First || Long(offset + TapLayout.FunctionLast) != aperture.Last
            || Long(offset + TapLayout.FunctionIota) != iota)
        {
            Volatile.Write(ref Word(offset + TapLayout.FunctionMode), (uint)TapFunctionMode.Through);
            Word(offset) = handle;
            Long(offset + TapLayout.FunctionFirst) = aperture.First;
            Long(offset + TapLayout.FunctionLast) = aperture.Last;
            Long(offset + TapLayout.FunctionIota) = iota;
            Long(offset + TapLayout.FunctionMemory) = memory;
        }

        Volatile.Write(ref Word(offset + TapLayout.FunctionMode), (uint)mode);
    }

    /// <summary>Most processors that the guest can have; 0 before a plugin has opened the channel.</summary>
    public uint Processors => Volatile.Read(ref Word(TapLayout.ProcessorsOffset));

    /// <summary>Has stores of a function into a range of one of its address spaces told; with handle 0 none.</summary>
    public void Watch(int index, uint handle, byte space, ulong first, ulong last)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)TapLayout.WatchedCount);
        int offset = TapLayout.WatchedOffset + (index * TapLayout.WatchedLength);
        Volatile.Write(ref Word(offset), 0);
        Word(offset + TapLayout.WatchedSpace) = space;
        Long(offset + TapLayout.WatchedFirst) = first;
        Long(offset + TapLayout.WatchedLast) = last;
        Volatile.Write(ref Word(offset), handle);
    }

    /// <summary>How many RPCITs of a function the plugin has answered by the ring.</summary>
    public long RingAnswers(int index)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)index, (uint)TapLayout.FunctionCount);
        return (long)Volatile.Read(ref Long(TapLayout.FunctionsOffset + (index * TapLayout.FunctionLength) + TapLayout.FunctionAnswered));
    }

    /// <summary>Takes the call of a processor, if it has one.</summary>
    /// <param name="processor">The processor's number.</param>
    /// <param name="data">Receives the instruction's block.</param>
    /// <param name="call">The call.</param>
    /// <returns>Whether there was one; it is to be answered with <see cref="Answer"/>.</returns>
    public bool TryTake(int processor, Span<byte> data, out TapCall call)
    {
        int slot = SlotOf(processor);
        call = default;
        if (Interlocked.CompareExchange(ref Word(slot), (uint)TapSlotState.Taken, (uint)TapSlotState.Asked) != (uint)TapSlotState.Asked)
        {
            return false;
        }

        int length = (int)Math.Min(Word(slot + TapLayout.SlotDataLength), (uint)Math.Min(data.Length, TapLayout.LongestData));
        var kind = (TapCallKind)Word(slot + TapLayout.SlotKind);
        length = kind is TapCallKind.MpcifcDone or TapCallKind.ClpDone ? length : 0;

        // SAFETY: a slot's data has LongestData bytes and more.
        new ReadOnlySpan<byte>(_base + slot + TapLayout.SlotData, length).CopyTo(data);
        call = new TapCall(
            kind,
            Long(slot + TapLayout.SlotR1),
            Long(slot + TapLayout.SlotStart),
            Long(slot + TapLayout.SlotRange),
            Long(slot + TapLayout.SlotR1After),
            Word(slot + TapLayout.SlotConditionCode) & ConditionCodes,
            length);
        return true;
    }

    /// <summary>Answers what was taken.</summary>
    /// <returns>False: the plugin has given the call up meanwhile and QEMU does it.</returns>
    public bool Answer(int processor, TapAnswer answer)
    {
        int slot = SlotOf(processor);
        Word(slot + TapLayout.SlotAction) = (uint)answer.Action;
        Word(slot + TapLayout.SlotAnswerConditionCode) = answer.ConditionCode;
        Long(slot + TapLayout.SlotAnswerR1) = answer.R1;
        if (Interlocked.CompareExchange(ref Word(slot), (uint)TapSlotState.Answered, (uint)TapSlotState.Taken) != (uint)TapSlotState.Taken)
        {
            return false;
        }

        if (Volatile.Read(ref Word(slot + TapLayout.SlotSleeping)) != 0)
        {
            // SAFETY: the slot is in the mapping.
            Futex.WakeAll((uint*)(_base + slot));
        }

        return true;
    }

    /// <summary>A line of the ring.</summary>
    /// <param name="number">Its number, before <see cref="Head"/>.</param>
    /// <param name="start">First I/O address.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>False: it is not there as it should be, so that what it said is not known.</returns>
    public bool TryReadLine(uint number, out ulong start, out ulong length)
    {
        int line = TapLayout.RingOffset + ((int)(number % TapLayout.RingCount) * TapLayout.LineLength);
        start = Volatile.Read(ref Long(line));
        length = Volatile.Read(ref Long(line + TapLayout.LineRange));
        return Volatile.Read(ref Word(line + TapLayout.LineSequence)) == number;
    }

    /// <summary>Says that lines have taken effect, and wakes whoever waits for them.</summary>
    public void SetDrained(uint count)
    {
        _drained = count;
        Volatile.Write(ref Word(TapLayout.DrainedOffset), count);
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref Word(TapLayout.DrainSleepersOffset)) != 0)
        {
            // SAFETY: the word is in the mapping.
            Futex.WakeAll((uint*)(_base + TapLayout.DrainedOffset));
        }
    }

    /// <summary>The plugin leaves everything to QEMU from now on, once it has refused the guest.</summary>
    public void Leave() => Volatile.Write(ref Word(TapLayout.OwnerOffset), 0);

    /// <summary>Leaves, and wakes who waits.</summary>
    public void Dispose()
    {
        lock (_offer)
        {
            _disposed = true;
        }

        Leave();
        for (int i = 0; i < TapLayout.SlotCount; i++)
        {
            // SAFETY: slots are in the mapping.
            Futex.WakeAll((uint*)(_base + SlotOf(i)));
        }

        _mapping.Dispose();
        _file.Dispose();
    }

    private static int SlotOf(int processor)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)processor, (uint)TapLayout.SlotCount);
        return TapLayout.SlotOffset + (processor * TapLayout.SlotLength);
    }

    // SAFETY (both): offsets come from TapLayout, with indices that were checked, and are aligned.
    private ref uint Word(int offset) => ref *(uint*)(_base + offset);

    private ref ulong Long(int offset) => ref *(ulong*)(_base + offset);
}
