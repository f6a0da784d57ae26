using System.Buffers.Binary;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Registers and memory with anything in them: nothing throws, states stay those of the table, and nothing grows without end.</summary>
public sealed class HostileTests
{
    private const int Calls = 100_000;
    private const ulong Tables = 0x10_0000;
    private const long MostGrowth = 64 << 20;

    [Theory]
    [InlineData(1)]
    [InlineData(20)]
    public void Instructions_RandomContents_AlwaysALegalAnswer(int seed)
    {
        var random = new Random(seed);
        using var rig = new ZpciGuestRig(maximumEvents: 64);
        for (int i = 0; i < 4; i++)
        {
            rig.Plug(relaxed: i == 0, configured: i != 3);
        }

        var tables = new GuestIoTables(rig.Memory, Tables);
        for (ulong page = 0; page < 300; page++)
        {
            tables.Map(ZpciLimits.StartDma + (page * 4096), page * 4096, writable: page % 3 != 0);
        }

        long before = GC.GetTotalMemory(forceFullCollection: true);
        int[] codes = new int[4];
        int refused = 0;
        var states = new HashSet<ZpciFunctionState>();
        for (int i = 0; i < Calls; i++)
        {
            ZpciResult result = Call(rig, random);
            Assert.True(Enum.IsDefined(result.Exception), result.ToString());
            Assert.InRange((int)result.ConditionCode, 0, 3);
            refused += result.Exception == ZpciProgramException.None ? 0 : 1;
            codes[(int)result.ConditionCode] += result == default ? 0 : 1;
            if (i % 512 == 0)
            {
                foreach (ZpciGuestFunction function in rig.Bus.Functions)
                {
                    AssertLegal(function);
                    states.Add(function.State);
                }
            }
        }

        // It was in all places, or nothing is said of them.
        Assert.True(
            refused > 1000 && codes[(int)ZpciConditionCode.Done] > 1000 && codes[(int)ZpciConditionCode.Error] > 1000 && codes[(int)ZpciConditionCode.InvalidHandle] > 1000,
            $"{refused} exceptions; {string.Join(", ", codes)} answers");
        Assert.Superset(new HashSet<ZpciFunctionState> { ZpciFunctionState.Standby, ZpciFunctionState.Disabled, ZpciFunctionState.Enabled, ZpciFunctionState.Error }, states);

        Assert.InRange(rig.Bus.PendingEvents, 0, 64);
        Assert.True(GC.GetTotalMemory(forceFullCollection: true) - before < MostGrowth);
        Assert.Equal(4, rig.Bus.Functions.Count);
    }

    /// <summary>All of a region third table's 2^30 pages by three tables: a refresh of it ends, and the function is there for others.</summary>
    [Fact]
    public void Refresh_TablesThatLeadToEachOther_IsAnsweredSoon()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugEnabled(relaxed: true);
        const ulong Region = Tables + ZpciIoTable.TableSize;
        const ulong Leaf = Region + ZpciIoTable.TableSize;
        Fill(rig, Tables, ZpciIoTable.TableEntries, static _ => Region | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
        Fill(rig, Region, ZpciIoTable.TableEntries, static _ => Leaf);
        Fill(rig, Leaf, ZpciIoTable.PageEntries, static _ => ZpciIoTable.PageInvalid);
        const ulong Last = (1ul << 42) - 1;
        Register(rig, function, Last);

        ZpciResult result = rig.Bus.Refresh(2, ZpciGuestRig.Request(function), function.StartDma, Last - function.StartDma + 1);
        Assert.Equal((ZpciConditionCode.Error, ZpciStatus.InsufficientResources), (result.ConditionCode, result.Status));
        Assert.Equal(ZpciFunctionState.Enabled, function.State);
        Assert.Equal(ZpciConditionCode.Done, rig.Bus.Refresh(2, ZpciGuestRig.Request(function), function.StartDma, 0x1000).ConditionCode);
    }

    /// <summary>No honest guest has more to look at than this one.</summary>
    [Fact]
    public void Refresh_NearlyAllMemoryIsTables_IsWalkedToTheEnd()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugEnabled(relaxed: true);
        const ulong Regions = 4;
        const ulong Leaves = Tables + ((1 + Regions) * ZpciIoTable.TableSize);
        const ulong First = ZpciLimits.StartDma;
        const ulong Count = (ZpciGuestRig.MemorySize - Leaves) / ZpciIoTable.PageTableSize;
        Fill(rig, Tables, ZpciIoTable.TableEntries, static _ => ZpciIoTable.TableInvalid);
        for (ulong i = 0; i < Regions; i++)
        {
            ulong table = Tables + ((1 + i) * ZpciIoTable.TableSize);
            Fill(rig, Tables + (((First >> (int)ZpciTableLevel.RegionThird) + i) * ZpciIoTable.EntrySize), 1, _ => table | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask);
            Fill(rig, table, ZpciIoTable.TableEntries, j => (i * ZpciIoTable.TableEntries) + (ulong)j is var leaf && leaf < Count ? Leaves + (leaf * ZpciIoTable.PageTableSize) : ZpciIoTable.TableInvalid);
        }

        Fill(rig, Leaves, (int)Count * ZpciIoTable.PageEntries, static _ => ZpciIoTable.PageInvalid);
        Fill(rig, ZpciGuestRig.MemorySize - ZpciIoTable.EntrySize, 1, static _ => 0x5000);
        ulong last = First + (Count * ZpciIoTable.SegmentSize) - 1;
        Register(rig, function, last);

        Assert.Equal(ZpciConditionCode.Done, rig.Bus.Refresh(2, ZpciGuestRig.Request(function), First, last - First + 1).ConditionCode);
        var mode = Assert.IsType<FallbackRefresh<TableWalker<GuestTableReader>>>(Assert.IsType<NegotiatedRefresh>(function.Mode).Current);
        Assert.Equal([(last - 0xfff, 0x5000ul, true)], mode.Snapshot());
    }

    private static void Fill(ZpciGuestRig rig, ulong address, int entries, Func<int, ulong> entry)
    {
        for (int i = 0; i < entries; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(rig.Memory.Span(address + (ulong)(i * ZpciIoTable.EntrySize), sizeof(ulong)), entry(i));
        }
    }

    private static void Register(ZpciGuestRig rig, ZpciGuestFunction function, ulong last) => Assert.Equal(
        ZpciConditionCode.Done,
        rig.Modify(function, ZpciModifyOperation.RegisterIoat, new ZpciFib { FirstAddress = function.StartDma, LastAddress = last, Iota = Tables | ZpciIota.RegionThirdFlags }).ConditionCode);

    private static void AssertLegal(ZpciGuestFunction function)
    {
        Assert.True(Enum.IsDefined(function.State));
        bool enabled = (function.Handle & ZpciHandle.Enabled) != 0;
        Assert.Equal(function.State is ZpciFunctionState.Enabled or ZpciFunctionState.Blocked or ZpciFunctionState.Error, enabled);
        if (!enabled)
        {
            Assert.False(function.HasInterrupts);
            Assert.False(function.HasTranslation);
        }
    }

    private static ZpciResult Call(ZpciGuestRig rig, Random random)
    {
        ZpciGuestFunction function = rig.Bus.Functions[random.Next(rig.Bus.Functions.Count)];
        uint handle = random.Next(20) switch
        {
            0 => (uint)random.NextInt64(),
            1 => function.Handle ^ ZpciHandle.Enabled,
            _ => function.Handle,
        };
        ulong request = ZpciGuestRig.Request(handle, Space(random), random.Next(4) == 0 ? random.Next(0x1_0000) : random.Next(20));
        bool problem = random.Next(50) == 0;
        switch (random.Next(10))
        {
            case 0:
                return rig.Bus.Load(random.Next(16), request, Value(random), problem);
            case 1:
                return rig.Bus.Store(random.Next(16), request, Value(random), Value(random), problem);
            case 2:
                return rig.Bus.StoreBlock(request, Value(random) & ~7ul, Value(random) & ~7ul, problem);
            case 3:
                return rig.Bus.Refresh(random.Next(16), request, ZpciLimits.StartDma + (Value(random) & ~0xffful), Value(random), problem);
            case 4 or 5:
                return Modify(rig, random, request, problem);
            case 6:
                return rig.Bus.StoreControls(request, Value(random), problem);
            case 7:
                return rig.Bus.SetInterruptionControls(Value(random), Value(random), problem);
            case 8:
                return Clp(rig, random, handle, problem);
            default:
                Around(rig, random, function);
                return default;
        }
    }

    private static ZpciResult Modify(ZpciGuestRig rig, Random random, ulong request, bool problem)
    {
        Span<byte> block = rig.Memory.Span(ZpciGuestRig.FibAddress, ZpciFib.Length);
        new ZpciFib
        {
            Format = (byte)(random.Next(30) == 0 ? 1 : 0),
            FirstAddress = ZpciLimits.StartDma + (random.Next(8) == 0 ? Value(random) : 0),
            LastAddress = ZpciLimits.StartDma + (random.Next(4) == 0 ? Value(random) : 0x3ff_ffff),
            Iota = random.Next(6) switch { 0 => Value(random), 1 => 0, _ => Tables | ZpciIota.RegionThirdFlags },
            InterruptWord = (uint)random.NextInt64(),
            VectorAddress = random.Next(3) == 0 ? Value(random) : ZpciGuestRig.Vector,
            SummaryAddress = random.Next(3) == 0 ? Value(random) : ZpciGuestRig.Summary,
            Measurement = random.Next(3) == 0 ? Value(random) : 0xa000,
        }.Write(block);
        ulong operation = (ulong)(random.Next(10) == 0 ? random.Next(256) : random.Next(2, 11));
        ulong place = random.Next(10) == 0 ? Value(random) : ZpciGuestRig.FibAddress;
        return rig.Bus.ModifyControls((request & ~0xffful & ~(random.Next(5) == 0 ? 0ul : 0xff_0000ul)) | operation, place, problem);
    }

    private static ZpciResult Clp(ZpciGuestRig rig, Random random, uint handle, bool problem)
    {
        Span<byte> block = rig.Memory.Span(ZpciGuestRig.ClpAddress, ZpciLimits.MaximumClpBlock);
        if (random.Next(4) == 0)
        {
            random.NextBytes(block[..64]);
        }
        else
        {
            new ZpciClpSetRequest
            {
                Header = new ZpciClpHeader { BlockLength = (ushort)(random.Next(10) == 0 ? random.Next(0x1_0000) : 32), Code = (ushort)random.Next(2, 7) },
                Handle = handle,
                Operation = (ZpciSetOperation)random.Next(3),
                DmaSpaces = (byte)(random.Next(5) == 0 ? random.Next(256) : 1),
            }.Write(block);
            block[32] = (byte)(random.Next(5) == 0 ? random.Next(256) : 0);
            block[33] = (byte)random.Next(256);
        }

        return rig.Bus.CallLogicalProcessor(random.Next(20) == 0 ? Value(random) : ZpciGuestRig.ClpAddress, problem);
    }

    /// <summary>What happens around a guest.</summary>
    private static void Around(ZpciGuestRig rig, Random random, ZpciGuestFunction function)
    {
        switch (random.Next(12))
        {
            case 0:
                rig.Bus.Configure(function.FunctionId);
                break;
            case 1 when random.Next(4) == 0:
                rig.Bus.Deconfigure(function.FunctionId);
                break;
            case 2:
                function.Fail((ZpciErrorEvent)random.Next(0x40), Value(random));
                break;
            case 3:
                rig.Clock.Advance(TimeSpan.FromSeconds(5));
                break;
            case 4 when random.Next(50) == 0:
                rig.Bus.SystemReset();
                break;
            case 5:
                rig.Set(function, ZpciSetOperation.Enable);
                break;
            case 6:
                rig.TakeEvents();
                break;
        }
    }

    private static byte Space(Random random) => (byte)(random.Next(3) == 0 ? random.Next(256) : random.Next(2) * 15);

    private static ulong Value(Random random) => random.Next(5) switch
    {
        0 => (ulong)random.NextInt64() << random.Next(2),
        1 => ulong.MaxValue - (ulong)random.Next(0x2000),
        2 => ZpciGuestRig.MemorySize - (ulong)random.Next(0x200),
        3 => (ulong)random.Next(0x10_0000),
        _ => (ulong)random.Next(0x80) * 8,
    };
}
