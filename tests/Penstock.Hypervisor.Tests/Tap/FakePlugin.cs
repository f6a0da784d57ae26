using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>The plugin's side of a channel, on the test's own thread.</summary>
internal sealed unsafe class FakePlugin : IDisposable
{
    private const uint Asked = 1;
    private const uint Answered = 3;

    private readonly OwnedDescriptor _file;
    private readonly MemoryMapping _mapping;

    public FakePlugin(TapSession tap)
        : this(tap.ChannelPath)
    {
    }

    public FakePlugin(string channel)
    {
        _file = DescriptorStorage.Open(channel, write: true);
        _mapping = MemoryMapping.Map(_file.Value, 0, TapLayout.Size, MemoryProtection.ReadWrite);
    }

    /// <summary>What the plugin is to do with the function's RPCIT.</summary>
    public TapFunctionMode Mode => (TapFunctionMode)Volatile.Read(ref Word(TapLayout.FunctionsOffset + TapLayout.FunctionMode));

    public uint Handle => Volatile.Read(ref Word(TapLayout.FunctionsOffset));

    public bool HasOwner => Volatile.Read(ref Word(TapLayout.OwnerOffset)) != 0;

    /// <summary>Most processors that the guest can have.</summary>
    public uint Processors
    {
        get => Word(TapLayout.ProcessorsOffset);
        set => Volatile.Write(ref Word(TapLayout.ProcessorsOffset), value);
    }

    /// <summary>Whose stores where are to be told.</summary>
    public (uint Handle, byte Space, ulong First, ulong Last) Watched(int index)
    {
        int at = TapLayout.WatchedOffset + (index * TapLayout.WatchedLength);
        return (Volatile.Read(ref Word(at)), (byte)Word(at + TapLayout.WatchedSpace), Long(at + TapLayout.WatchedFirst), Long(at + TapLayout.WatchedLast));
    }

    public uint Drained => Volatile.Read(ref Word(TapLayout.DrainedOffset));

    /// <summary>CLP LIST PCI with one function.</summary>
    public void List(uint functionId, uint handle)
    {
        byte[] data = new byte[ZpciClpListRequest.Length + ZpciClpListResponse.Length + ZpciClpListEntry.Length];
        new ZpciClpHeader { BlockLength = ZpciClpListRequest.Length, Code = (ushort)ZpciClpCommand.ListPci }.Write(data);
        Span<byte> response = data.AsSpan(ZpciClpListRequest.Length);
        new ZpciClpListResponse { Header = Ok(ZpciClpListResponse.Length + ZpciClpListEntry.Length), EntryLength = ZpciClpListEntry.Length }.Write(response);
        new ZpciClpListEntry { FunctionId = functionId, Handle = handle }.Write(response[ZpciClpListResponse.Length..]);
        Clp(data);
    }

    /// <summary>CLP SET PCI FUNCTION.</summary>
    public void Set(ZpciSetOperation operation, uint handle, uint handleAfter)
    {
        byte[] data = new byte[ZpciClpSetRequest.Length + ZpciClpSetResponse.Length];
        new ZpciClpSetRequest
        {
            Header = new ZpciClpHeader { BlockLength = ZpciClpSetRequest.Length, Code = (ushort)ZpciClpCommand.SetFunction },
            Handle = handle,
            Operation = operation,
        }.Write(data);
        new ZpciClpSetResponse { Header = Ok(ZpciClpSetResponse.Length), Handle = handleAfter }.Write(data.AsSpan(ZpciClpSetRequest.Length));
        Clp(data);
    }

    public void Mpcifc(uint handle, ZpciModifyOperation operation, uint conditionCode = 0, ulong iota = 0, ulong first = 0, ulong last = 0) =>
        Mpcifc(handle, new ZpciFib { FirstAddress = first, LastAddress = last, Iota = iota }, operation, conditionCode);

    public void Mpcifc(uint handle, ZpciFib fib, ZpciModifyOperation operation, uint conditionCode = 0)
    {
        byte[] data = new byte[ZpciFib.Length];
        fib.Write(data);
        ulong r1 = ((ulong)handle << 32) | (ulong)operation;
        Call(TapCallKind.MpcifcDone, r1, 0, 0, r1, conditionCode, data);
    }

    public (uint Action, uint ConditionCode, ulong R1) Rpcit(uint handle, ulong start, ulong length, int processor = 0) =>
        Call(TapCallKind.RpcitAsked, (ulong)handle << 32, start, length, processor: processor);

    /// <summary>QEMU has done an RPCIT whose result was to be told.</summary>
    public void RpcitDone(uint handle, ulong start, ulong length, int processor = 0) =>
        Call(TapCallKind.RpcitDone, (ulong)handle << 32, start, length, (ulong)handle << 32, processor: processor);

    /// <summary>Writes a line into the ring and rings.</summary>
    public void WriteLine(uint handle, ulong start, ulong length)
    {
        uint head = Word(TapLayout.HeadOffset);
        int line = TapLayout.RingOffset + ((int)(head % TapLayout.RingCount) * TapLayout.LineLength);
        Long(line) = start;
        Long(line + TapLayout.LineRange) = length;
        Word(line + TapLayout.LineHandle) = handle;
        Word(line + TapLayout.LineSequence) = head;
        Volatile.Write(ref Word(TapLayout.HeadOffset), head + 1);
        Ring();
    }

    /// <summary>The plugin has waited too long.</summary>
    public void GiveUp()
    {
        Volatile.Write(ref Word(TapLayout.GivenUpOffset), 1);
        Ring();
    }

    /// <summary>The plugin has waited too long and goes on when nobody of the other side is in the guest's memory.</summary>
    public void GiveUpAndAwaitLeave()
    {
        Interlocked.Exchange(ref Word(TapLayout.GivenUpOffset), 1);
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref Word(TapLayout.InGuestOffset)) == 0, TimeSpan.FromMinutes(2)), "somebody stays in the guest's memory");
    }

    /// <summary>As if it had never given up.</summary>
    public void Resume() => Interlocked.Exchange(ref Word(TapLayout.GivenUpOffset), 0);

    /// <summary>Any call, and what became of it; an action that there is not, when nobody is there any more.</summary>
    public (uint Action, uint ConditionCode, ulong R1) Call(
        TapCallKind kind, ulong r1, ulong start = 0, ulong length = 0, ulong r1After = 0, uint conditionCode = 0, ReadOnlySpan<byte> data = default, uint? dataLength = null, int processor = 0)
    {
        int slot = TapLayout.SlotOffset + (processor * TapLayout.SlotLength);
        Word(slot + TapLayout.SlotKind) = (uint)kind;
        Long(slot + TapLayout.SlotR1) = r1;
        Long(slot + TapLayout.SlotStart) = start;
        Long(slot + TapLayout.SlotRange) = length;
        Long(slot + TapLayout.SlotR1After) = r1After;
        Word(slot + TapLayout.SlotConditionCode) = conditionCode;
        Word(slot + TapLayout.SlotDataLength) = dataLength ?? (uint)data.Length;

        // SAFETY: a slot's data is longer than every block that tests give.
        data.CopyTo(new Span<byte>(_mapping.Pointer + slot + TapLayout.SlotData, TapLayout.LongestData));
        Volatile.Write(ref Word(slot), Asked);
        Ring();
        Assert.True(SpinWait.SpinUntil(() => Volatile.Read(ref Word(slot)) == Answered || !HasOwner, TimeSpan.FromMinutes(2)), "the tap did not answer");
        if (Volatile.Read(ref Word(slot)) != Answered)
        {
            return (uint.MaxValue, 0, 0);
        }

        (uint Action, uint ConditionCode, ulong R1) answer =
            (Word(slot + TapLayout.SlotAction), Word(slot + TapLayout.SlotAnswerConditionCode), Long(slot + TapLayout.SlotAnswerR1));
        Volatile.Write(ref Word(slot), 0);
        return answer;
    }

    public void Dispose()
    {
        _mapping.Dispose();
        _file.Dispose();
    }

    private static ZpciClpHeader Ok(int length) => new() { BlockLength = (ushort)length, Code = (ushort)ZpciClpResponse.Ok };

    private void Clp(byte[] data) => Call(TapCallKind.ClpDone, 0, ZpciClpSetRequest.Length, data: data);

    private void Ring()
    {
        Interlocked.Increment(ref Word(TapLayout.BellOffset));

        // SAFETY: the word is in the mapping.
        Futex.WakeAll((uint*)(_mapping.Pointer + TapLayout.BellOffset));
    }

    // SAFETY (both): offsets are the layout's.
    private ref uint Word(int offset) => ref *(uint*)(_mapping.Pointer + offset);

    private ref ulong Long(int offset) => ref *(ulong*)(_mapping.Pointer + offset);
}
