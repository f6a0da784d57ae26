using System.Buffers.Binary;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>
/// The plugin's C code, as it runs inside QEMU: its look at the tables of a range against the walk that the rest of the project makes, what it tells of
/// a recording, and what QEMU is told of when a server is killed.
/// </summary>
public sealed class TapPluginWalkTests(PluginHarness plugin) : IClassFixture<PluginHarness>
{
    private const int Seed = 20261121;
    private const int Cases = 12_000;
    private const int MemorySize = 2 << 20;
    private const int ConnectionReset = 104;

    private static readonly int[] Pages = [1, 1, 2, 3, 17, 255, 256, 257, 600];

    /// <summary>Before the result of an RPCIT is seen an interrupt may come, and its handler do RPCITs.</summary>
    [Theory]
    [InlineData("aAbB", "aAbB")]
    [InlineData("abcCdDBA", "abcCdDBA")]
    [InlineData("abAB", "abAB")]
    [InlineData("aaAA", "aaA")]
    [InlineData("A", "")]
    [InlineData("abcdefghiIHGFEDCBA", "abcdefghiIHGFEDCB")]
    public void Recording_OneRpcitWithinAnother_TellsBothBeginsAndBothResults(string steps, string told) => Assert.Equal(told, plugin.Record(steps));

    [Fact]
    [Trait("Row", "S3-3")]
    public void Look_RandomTablesWithErrors_SameAsWalk()
    {
        var random = new Random(Seed);
        byte[] memory = new byte[MemorySize];
        int right = 0, wrong = 0;
        for (int i = 0; i < Cases; i++)
        {
            var tables = new RandomTables(random, memory);
            ulong pages = (ulong)Pages[random.Next(Pages.Length)];
            ulong first = tables.Start(pages);
            ulong last = first + (pages * ZpciIoTable.PageSize) - 1;
            tables.Fill(first, last);
            ulong iota = tables.Anchor;
            if (random.Next(50) == 0)
            {
                iota ^= 1ul << random.Next(2, 12);
            }

            bool expected = IsRight(memory, new Iota(iota), first, last);
            Assert.True(expected == plugin.TablesAreRight(memory, iota, first, last), $"case {i}: iota 0x{iota:x}, 0x{first:x} to 0x{last:x}: the walk says {expected}");
            _ = expected ? right++ : wrong++;
        }

        Assert.InRange(right, Cases / 5, Cases);
        Assert.InRange(wrong, Cases / 5, Cases);
    }

    /// <summary>The guest does not wait in the plugin for a look at everything that it has.</summary>
    [Fact]
    public void Look_MoreThanAFewMebibytes_IsLeftToPenstock()
    {
        byte[] memory = new byte[MemorySize];
        var tables = new RandomTables(new Random(Seed), memory, faults: 0, top: ZpciDesignationType.RegionThird);
        ulong first = tables.Start(4096) & ~(ZpciIoTable.SegmentSize - 1);
        ulong last = first + (16 * ZpciIoTable.SegmentSize) - 1;
        tables.Fill(first, last);

        Assert.True(IsRight(memory, new Iota(tables.Anchor), first, last));
        Assert.False(plugin.TablesAreRight(memory, tables.Anchor, first, last));
        Assert.True(plugin.TablesAreRight(memory, tables.Anchor, first, first + (3 * ZpciIoTable.SegmentSize) - 1));
    }

    /// <summary>QEMU 11.1 aborts at ECONNRESET; the end of the stream it survives.</summary>
    [Fact]
    [Trait("Row", "S3-13")]
    public void Death_OfServerWithMessageUnread_IsTheEndOfTheStream()
    {
        Assert.Equal(ConnectionReset, plugin.KillServer(held: false));
        for (int i = 0; i < 20; i++)
        {
            Assert.Equal(0, plugin.KillServer(held: true));
        }
    }

    /// <summary>A machine that stood still, and with it both processes: the first of them that goes on must not take the other for dead.</summary>
    [Theory]
    [InlineData(1, true, false, false)]
    [InlineData(60, true, true, false)]
    [InlineData(60, true, false, true)]
    [InlineData(1, false, false, true)]
    public void Heartbeat_OldButMoving_IsNotGivenUp(int age, bool owned, bool beats, bool expected) =>
        Assert.Equal(expected, plugin.GivesUp(TimeSpan.FromSeconds(age), owned, beats));

    /// <summary>The guest goes on without being told of stores: what is written for it afterwards may be written anywhere.</summary>
    [Fact]
    [Trait("Row", "S0-8")]
    public void GiveUp_WhileAThreadOfTheServerIsInTheGuestsMemory_WaitsUntilItHasLeft() => Assert.True(plugin.GiveUp());

    private static unsafe bool IsRight(byte[] memory, Iota iota, ulong first, ulong last)
    {
        // SAFETY: the array is pinned while it is walked through.
        fixed (byte* start = memory)
        {
            var reader = new FlatTableReader((nint)start, (ulong)memory.Length);
            for (ulong at = first; ;)
            {
                IoWalk walk = IoTableWalk.Walk(reader, iota, at);
                ulong frame = 1ul << (int)walk.Level;
                if (walk.Fault != ZpciErrorEvent.None || (walk.IsValid && (walk.Address | (frame - 1)) >= (ulong)memory.Length))
                {
                    return false;
                }

                if (walk.Length > last - at)
                {
                    return true;
                }

                at += walk.Length;
            }
        }
    }

    /// <summary>Tables of any depth for one range, with a share of entries that are invalid or wrong.</summary>
    private sealed class RandomTables
    {
        private readonly Random _random;
        private readonly byte[] _memory;
        private readonly double _faults;
        private readonly int _type;
        private int _used = ZpciIoTable.TableSize;

        public RandomTables(Random random, byte[] memory, double? faults = null, ZpciDesignationType? top = null)
        {
            _random = random;
            _memory = memory;
            _faults = faults ?? (random.Next(4) switch { 0 => 0, 1 => 0.0005, 2 => 0.01, _ => 0.2 });
            _type = (int)(top ?? (ZpciDesignationType)random.Next(4));
            Array.Clear(memory, 0, MemorySize / 2);
            Anchor = Iota.Of((ulong)Take(ZpciIoTable.TableSize), (ZpciDesignationType)_type).Value | ((ulong)random.Next(2) * ZpciIota.Protected);
        }

        public ulong Anchor { get; }

        /// <summary>An address after which a few pages are below the first table; near the border of a segment now and then.</summary>
        public ulong Start(ulong pages)
        {
            ulong all = new Iota(Anchor).LastAddress;
            ulong at = (ulong)_random.NextInt64() & all;
            at = _random.Next(3) == 0 ? (at | 0xfffff) - ((ulong)_random.Next(4) * ZpciIoTable.PageSize) : at;
            return Math.Min(at, all - (pages * ZpciIoTable.PageSize)) & ~(ZpciIoTable.PageSize - 1);
        }

        public void Fill(ulong first, ulong last) => Fill(_type, (int)new Iota(Anchor).Origin, first, last);

        private void Fill(int type, int table, ulong first, ulong last)
        {
            int shift = (int)ZpciTableLevel.Segment + (type * ZpciIoTable.LevelBits);
            for (ulong at = first; ;)
            {
                ulong until = Math.Min(last, at | ((1ul << shift) - 1));
                ulong entry;
                if (type == 0 && _random.Next(8) == 0)
                {
                    entry = ZpciIoTable.LargeFrame | (_faults == 0 ? 1ul << 20 : ((ulong)_random.Next(4) << 19) | (_random.Next(30) == 0 ? 1ul << 40 : 0));
                }
                else
                {
                    int below = Take(type == 0 ? ZpciIoTable.PageTableSize : ZpciIoTable.TableSize);
                    entry = (uint)below | (type == 0 ? 0 : ZpciIoTable.LengthMask | ((uint)type * ZpciIoTable.TypeStep));
                    if (type == 0)
                    {
                        FillPages(below, at, until);
                    }
                    else
                    {
                        Fill(type - 1, below, at, until);
                    }
                }

                Write(table + ((int)((at >> shift) % ZpciIoTable.TableEntries) * ZpciIoTable.EntrySize), Spoil(entry, ZpciIoTable.TableInvalid));
                if (until >= last)
                {
                    return;
                }

                at = until + 1;
            }
        }

        private void FillPages(int table, ulong first, ulong last)
        {
            for (ulong at = first; at <= last; at += ZpciIoTable.PageSize)
            {
                ulong page = (ulong)_random.Next(1, MemorySize >> 12) << 12;
                Write(table + ((int)((at >> 12) % ZpciIoTable.PageEntries) * ZpciIoTable.EntrySize), Spoil(page, ZpciIoTable.PageInvalid));
            }
        }

        private ulong Spoil(ulong entry, ulong invalid)
        {
            entry |= (ulong)_random.Next(2) * ZpciIoTable.Protected;
            if (_random.Next(20) == 0)
            {
                return entry | invalid;
            }

            return _random.NextDouble() >= _faults ? entry : _random.Next(5) switch
            {
                0 => 0,
                1 => entry & 0xfff,
                2 => entry | (1ul << _random.Next(21, 63)),
                3 => invalid,
                _ => entry ^ (1ul << _random.Next(12)),
            };
        }

        private int Take(int size)
        {
            int at = (_used + size - 1) & ~(size - 1);
            _used = at + size;
            Assert.InRange(_used, 1, MemorySize / 2);
            return at;
        }

        private void Write(int at, ulong entry) => BinaryPrimitives.WriteUInt64BigEndian(_memory.AsSpan(at), entry);
    }
}
