using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Specs.Zpci;

namespace Penstock.S390.Tests.Tables;

public sealed class IoTableWalkTests
{
    private const ulong Root = 0x10000;
    private const ulong Segments = 0x20000;
    private const ulong Pages = 0x30800;
    private const ulong Iova = 0x1_0012_3000;
    private const ulong RegionEntry = 0x10010;
    private const ulong SegmentEntry = Segments + 8;
    private const ulong PageEntry = Pages + 0x118;
    private static readonly Iota Anchor = new(0x804 | Root);

    [Fact]
    [Trait("Row", "S3-2")]
    public void Walk_RegionThird_FindsTheEntriesOfTheSpecification()
    {
        IoWalk walk = Walk(Tables());

        Assert.Equal((ZpciErrorEvent.None, true, true), (walk.Fault, walk.IsValid, walk.CanWrite));
        Assert.Equal((0x765_4000ul, 0x1000ul, ZpciTableLevel.Page), (walk.Address, walk.Length, walk.Level));
    }

    [Theory]
    [InlineData(RegionEntry, 0x0ul, ZpciErrorEvent.InvalidTableEntry, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, Segments | 0x20, ZpciErrorEvent.None, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, Segments | 0x4, ZpciErrorEvent.InvalidTableLength, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, Segments | 0x47, ZpciErrorEvent.InvalidTableLength, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, Segments | 0x8, ZpciErrorEvent.InvalidTableLength, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, Segments | 0xb, ZpciErrorEvent.TranslationType, ZpciTableLevel.RegionThird)]
    [InlineData(RegionEntry, 0x7ul, ZpciErrorEvent.TranslationType, ZpciTableLevel.RegionThird)]
    [InlineData(SegmentEntry, 0x0ul, ZpciErrorEvent.InvalidTableEntry, ZpciTableLevel.Segment)]
    [InlineData(SegmentEntry, 0x20ul, ZpciErrorEvent.None, ZpciTableLevel.Segment)]
    [InlineData(SegmentEntry, Pages | 0x4, ZpciErrorEvent.TranslationType, ZpciTableLevel.Segment)]
    [InlineData(SegmentEntry, 0x400ul, ZpciErrorEvent.TranslationType, ZpciTableLevel.Segment)]
    [InlineData(PageEntry, 0x0ul, ZpciErrorEvent.InvalidTableEntry, ZpciTableLevel.Page)]
    [InlineData(PageEntry, 0x400ul, ZpciErrorEvent.None, ZpciTableLevel.Page)]
    [InlineData(PageEntry, 0x200ul, ZpciErrorEvent.TranslationType, ZpciTableLevel.Page)]
    public void Walk_EntryThatLeadsNowhere_SaysWhyAndWhere(ulong address, ulong entry, ZpciErrorEvent fault, ZpciTableLevel level)
    {
        TableMemory tables = Tables();
        tables[address] = entry;

        IoWalk walk = Walk(tables);

        Assert.Equal((fault, level, false, false, 0ul), (walk.Fault, walk.Level, walk.IsValid, walk.CanWrite, walk.Address));
    }

    [Theory]
    [InlineData(RegionEntry)]
    [InlineData(SegmentEntry)]
    [InlineData(PageEntry)]
    public void Walk_ProtectedAtAnyLevel_ReadOnly(ulong address)
    {
        TableMemory tables = Tables();
        tables[address] |= 0x200;
        Assert.False(Walk(tables).CanWrite);
        Assert.False(IoTableWalk.Walk(new TableMemoryReader(Tables()), new Iota(Anchor.Value | 0x200), Iova).CanWrite);
    }

    [Fact]
    public void Walk_InvalidHighAbove_LengthRunsToTheNextBoundary()
    {
        TableMemory tables = Tables();
        tables[RegionEntry] = 0x20;
        Assert.Equal(0x8000_0000ul - 0x12_3000, Walk(tables).Length);
        tables = Tables();
        tables[SegmentEntry] = 0x20;
        Assert.Equal(0x10_0000ul - 0x2_3000, Walk(tables).Length);
    }

    [Fact]
    public void Walk_LargeFrame_LeadsIntoTheFrame()
    {
        TableMemory tables = Tables();
        tables[SegmentEntry] = 0x4567_0000_0000 | 0x600;

        IoWalk walk = IoTableWalk.Walk(new TableMemoryReader(tables), Anchor, Iova + 0x5);

        Assert.Equal((0x4567_0002_3005ul, false, ZpciTableLevel.Segment), (walk.Address, walk.CanWrite, walk.Level));
        Assert.Equal(0x10_0000ul - 0x2_3005, walk.Length);
    }

    [Theory]
    [InlineData(0x0ul, ZpciErrorEvent.InvalidAddressSpace)]
    [InlineData(Root | 0x4, ZpciErrorEvent.InvalidAddressSpace)]
    [InlineData(Root | 0x810, ZpciErrorEvent.InvalidTranslationFormat)]
    [InlineData(Root | 0x81c, ZpciErrorEvent.InvalidTranslationFormat)]
    [InlineData(Root | 0x800, ZpciErrorEvent.AddressOutOfRange)]
    public void Walk_AnchorThatDoesNotServe_Fault(ulong iota, ZpciErrorEvent fault) =>
        Assert.Equal(fault, IoTableWalk.Walk(new TableMemoryReader(Tables()), new Iota(iota), Iova).Fault);

    [Fact]
    public void Walk_AddressAboveTheFirstTable_NeverWraps()
    {
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, IoTableWalk.Walk(new TableMemoryReader(Tables()), Anchor, Iova | (1ul << 42)).Fault);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, IoTableWalk.Walk(new TableMemoryReader(Tables()), Anchor, ulong.MaxValue).Fault);
    }

    [Theory]
    [InlineData(ZpciDesignationType.Segment, 0x7fff_f123ul)]
    [InlineData(ZpciDesignationType.RegionSecond, 0x1f_ffff_ffff_f123ul)]
    [InlineData(ZpciDesignationType.RegionFirst, 0xffff_ffff_ffff_f123ul)]
    public void Walk_EveryFirstTable_ReachesItsLastPage(ZpciDesignationType type, ulong iova)
    {
        var tables = new TableMemory();
        ulong table = Root;
        for (int level = (int)type; level > 0; level--)
        {
            tables[table + (2047 * 8)] = (table + 0x4000) | ((ulong)level << 2) | 3;
            table += 0x4000;
        }

        tables[table + (2047 * 8)] = 0x8_0800;
        tables[0x8_0800 + (255 * 8)] = 0xabc_d000;
        Iota iota = Iota.Of(Root, type);

        IoWalk walk = IoTableWalk.Walk(new TableMemoryReader(tables), iota, iova);

        Assert.Equal(0xabc_d123ul, walk.Address);
        Assert.Equal(iota.LastAddress, iova | 0xfff);
    }

    [Fact]
    public void Walk_RandomTables_AsTheNaiveModel()
    {
        var random = new Random(5);
        ulong[] flags = [0, 0, 0, 0x20, 0x40, 0x80, 0x200, 0x400, 0x100, 0x10];
        var seen = new HashSet<(ZpciErrorEvent, ZpciTableLevel, bool, bool)>();
        for (int round = 0; round < 20_000; round++)
        {
            var tables = new TableMemory();
            int type = random.Next(4);
            ulong iota = Root | 0x800 | ((ulong)type << 2) | (random.Next(8) == 0 ? 0x200ul : 0);
            ulong iova = (ulong)random.NextInt64(long.MinValue, long.MaxValue);
            iova = type == 3 ? iova : iova >> (64 - ((20 + (11 * (type + 1)))));
            ulong table = Root;
            for (int level = type + 1; level >= 0; level--)
            {
                int shift = level == 0 ? 12 : 9 + (11 * level);
                ulong next = random.Next(20) == 0 ? 0 : (ulong)random.Next(1, 1 << 16) << 20;
                ulong entry = next | flags[random.Next(flags.Length)];
                entry |= level > 1 ? 3ul : 0;
                entry |= level > 0 ? (ulong)(level - 1) * 4 : 0ul;
                entry ^= random.Next(12) == 0 ? 1ul << random.Next(12) : 0;
                entry = random.Next(25) == 0 ? 0 : entry;
                tables[table + (8 * ((iova >> shift) & (level == 0 ? 0xfful : 0x7fful)))] = entry;
                table = next;
            }

            IoWalk walk = IoTableWalk.Walk(new TableMemoryReader(tables), new Iota(iota), iova);
            var expected = NaiveWalk.Walk(tables, iota, iova);

            Assert.Equal(expected, (walk.Fault, (int)walk.Level, walk.IsValid, walk.CanWrite, walk.Address));
            Assert.Equal(0ul, (iova + walk.Length) & ((1ul << expected.Shift) - 1));
            seen.Add((walk.Fault, walk.Level, walk.IsValid, walk.CanWrite));
        }

        // Each level ends a walk in each way that it can: invalid, three errors (two below regions), and two that are valid in two ways each.
        Assert.Equal((3 * 4) + (2 * 3) + (2 * 2), seen.Count);
    }

    [Fact]
    public unsafe void Walk_FlatMemory_ReadsBigEndianInsideAlone_AllocatesNothing()
    {
        const int Length = 0x1_0000;
        byte* memory = (byte*)NativeMemory.AllocZeroed(Length);
        try
        {
            var span = new Span<byte>(memory, Length);
            BinaryPrimitives.WriteUInt64BigEndian(span[0x10..], 0x10_4000 | 7);
            BinaryPrimitives.WriteUInt64BigEndian(span[0x4008..], 0x10_8800);
            BinaryPrimitives.WriteUInt64BigEndian(span[(0x8800 + 0x118)..], 0x765_4000);
            var reader = new FlatTableReader((nint)memory, Length, first: 0x10_0000);
            var iota = Iota.Of(0x10_0000, ZpciDesignationType.RegionThird);
            Assert.Equal(0x765_4000ul, IoTableWalk.Walk(reader, iota, Iova).Address);
            Assert.True(reader.TryRead(0x10_fff8, out _));
            Assert.False(reader.TryRead(0x11_0000, out ulong outside));
            Assert.False(reader.TryRead(0xf_fff8, out _));
            Assert.Equal(0ul, outside);
            Assert.False(new FlatTableReader((nint)memory, 7).TryRead(0, out _));

            ulong sum = 0;
            Assert.Equal(0, AllocatedBytes.In(1000, i =>
            {
                sum += IoTableWalk.Walk(reader, iota, Iova + (ulong)i).Address;
                sum += (ulong)IoTableWalk.Walk(reader, iota, (ulong)i << 31).Fault;
            }));
            Assert.NotEqual(0ul, sum);
        }
        finally
        {
            NativeMemory.Free(memory);
        }
    }

    private static IoWalk Walk(TableMemory tables) => IoTableWalk.Walk(new TableMemoryReader(tables), Anchor, Iova);

    private static TableMemory Tables() => new()
    {
        [RegionEntry] = Segments | 0x7,
        [SegmentEntry] = Pages,
        [PageEntry] = 0x765_4000,
    };
}
