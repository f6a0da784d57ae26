using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>
/// A guest that changes its tables at random, says so late or never, and has them wrong now and then. It uses two regions, a few segments of each, and
/// all of their pages.
/// </summary>
internal sealed class RandomGuest
{
    /// <summary>How often everything is refreshed and compared.</summary>
    public const int StepsPerCheck = 700;

    private const int PageTables = 6;
    private const int SegmentTables = 3;
    private const int Segments = 4;

    private readonly NestingRig _rig;
    private readonly NestingTables _tables;
    private readonly Random _random;
    private readonly ulong[] _segmentTables = new ulong[SegmentTables];
    private readonly ulong[] _pageTables = new ulong[PageTables];
    private readonly string _seed;

    public RandomGuest(NestingRig rig, int seed)
    {
        _rig = rig;
        _tables = rig.Tables;
        _random = new Random(seed);
        _seed = $"seed {seed}";
        for (int i = 0; i < SegmentTables; i++)
        {
            _segmentTables[i] = _tables.NewTable();
        }

        for (int i = 0; i < PageTables; i++)
        {
            _pageTables[i] = _tables.NewPageTable();
        }
    }

    public int Refreshes { get; private set; }

    public int Errors { get; private set; }

    public int Insufficient { get; private set; }

    public int Checks { get; private set; }

    /// <summary>Registers and goes.</summary>
    /// <param name="steps">How many changes and refreshes.</param>
    /// <param name="modes">Modes that have to give the same answers.</param>
    /// <param name="kept">Domains that have what was refreshed: the same at any time.</param>
    /// <param name="follows">A domain that has what the tables say; compared when everything is refreshed.</param>
    /// <param name="check">Called after each refresh.</param>
    public void Run(int steps, IRefreshMode[] modes, TranslatingDomain[] kept, TranslatingDomain? follows, Action? check = null)
    {
        Assert.All(modes, m => Assert.Equal(Interop.Errno.None, m.Register(_tables.Registration())));
        for (int i = 0; i < steps; i++)
        {
            int dice = _random.Next(100);
            if (i % StepsPerCheck == StepsPerCheck - 1)
            {
                CompareAll(modes, kept, follows);
            }
            else if (dice < 65)
            {
                Change();
            }
            else if (dice < 98)
            {
                Refresh(modes, AnyIova(), (ulong)_random.NextInt64(_random.Next(3) switch { 0 => 3, 1 => 300, _ => 600_000 }) * NestingRig.Page);
                Compare(kept, AnyIova());
            }
            else
            {
                // Oddities: not in pages, across the border, outside, wrapping.
                ulong start = AnyIova() + (ulong)_random.Next(4096);
                Refresh(modes, _random.Next(4) == 0 ? (ulong)_random.NextInt64() : start, _random.Next(3) == 0 ? ulong.MaxValue : (ulong)_random.NextInt64(1 << 21));
            }

            check?.Invoke();
        }

        CompareAll(modes, kept, follows);
    }

    private void Refresh(IRefreshMode[] modes, ulong start, ulong length)
    {
        RpcitAnswer first = modes[0].Refresh(start, length);
        foreach (IRefreshMode mode in modes.AsSpan(1))
        {
            RpcitAnswer answer = mode.Refresh(start, length);
            Assert.True(first == answer, $"{_seed}: RPCIT [0x{start:x}, +0x{length:x}): {modes[0].Name} {first}, {mode.Name} {answer}");
        }

        Refreshes++;
        Errors += first.Event != ZpciErrorEvent.None ? 1 : 0;
        Insufficient += first == RpcitAnswer.Insufficient ? 1 : 0;
    }

    private void CompareAll(IRefreshMode[] modes, TranslatingDomain[] kept, TranslatingDomain? follows)
    {
        Mend();
        Refresh(modes, NestingTables.FirstIova, 4ul << 30);
        TranslatingDomain[] all = follows is null ? kept : [.. kept, follows];
        for (int region = 0; region < 2; region++)
        {
            for (int segment = 0; segment < Segments; segment++)
            {
                for (ulong page = 0; page < 256; page += 1 + (ulong)_random.Next(4))
                {
                    Compare(all, IovaOf(region, segment, page));
                }
            }
        }

        Checks++;
    }

    private void Compare(TranslatingDomain[] domains, ulong iova)
    {
        (nint, bool)? first = NestingRig.Seen(domains[0], iova);
        foreach (TranslatingDomain domain in domains.AsSpan(1))
        {
            (nint, bool)? other = NestingRig.Seen(domain, iova);
            Assert.True(first == other, $"{_seed}: 0x{iova:x} leads to {first} in {domains[0]} and to {other} in {domain}");
        }
    }

    private void Change()
    {
        switch (_random.Next(20))
        {
            case 0:
                ulong table = _segmentTables[_random.Next(SegmentTables)];
                _tables.Write(_tables.RegionEntry(AnyIova()), _random.Next(40) switch
                {
                    0 => 0,
                    1 => table | ZpciIoTable.TypeRegionThird,
                    2 => table | ZpciIoTable.TypeRegionSecond | ZpciIoTable.LengthMask,
                    < 8 => ZpciIoTable.TableInvalid,
                    < 12 => table | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask | ZpciIoTable.Protected,
                    _ => table | ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask,
                });
                break;
            case < 4:
                ulong pages = _pageTables[_random.Next(PageTables)];
                ulong frame = (ulong)_random.Next(1, 68) << 20;
                _tables.Write(NestingTables.EntryIn(_segmentTables[_random.Next(SegmentTables)], AnyIova(), ZpciTableLevel.Segment), _random.Next(60) switch
                {
                    0 => 0,
                    1 => pages | ZpciIoTable.TypeRegionThird,
                    < 10 => ZpciIoTable.TableInvalid,
                    < 14 => pages | ZpciIoTable.Protected,
                    < 20 => frame | ZpciIoTable.LargeFrame,
                    < 22 => frame | ZpciIoTable.LargeFrame | ZpciIoTable.Protected,
                    _ => pages,
                });
                break;
            default:
                _tables.Write(_pageTables[_random.Next(PageTables)] + ((ulong)_random.Next(256) * 8), _random.Next(400) switch
                {
                    0 => 0,
                    1 => ZpciIoTable.Protected,
                    < 80 => ZpciIoTable.PageInvalid,
                    < 120 => AnyPage() | ZpciIoTable.Protected,
                    _ => AnyPage(),
                });
                break;
        }
    }

    /// <summary>Makes wrong entries invalid ones.</summary>
    private void Mend()
    {
        foreach (ulong table in _segmentTables)
        {
            for (int region = 0; region < 2; region++)
            {
                ulong entry = _tables.Read(_tables.RegionEntry(IovaOf(region, 0, 0)));
                if (entry == 0 || ((entry & ZpciIoTable.TableInvalid) == 0
                    && (entry & (ZpciIoTable.LengthMask | ZpciIoTable.TypeMask)) != (ZpciIoTable.LengthMask | ZpciIoTable.TypeRegionThird)))
                {
                    _tables.Write(_tables.RegionEntry(IovaOf(region, 0, 0)), ZpciIoTable.TableInvalid);
                }
            }

            for (int segment = 0; segment < Segments; segment++)
            {
                ulong at = NestingTables.EntryIn(table, IovaOf(0, segment, 0), ZpciTableLevel.Segment);
                ulong entry = _tables.Read(at);
                if (entry == 0 || (entry & ZpciIoTable.TypeMask) != 0)
                {
                    _tables.Write(at, ZpciIoTable.TableInvalid);
                }
            }
        }

        foreach (ulong table in _pageTables)
        {
            for (ulong i = 0; i < 256; i++)
            {
                ulong entry = _tables.Read(table + (i * 8));
                if ((entry & ZpciIoTable.PageFrame) == 0 && (entry & ZpciIoTable.PageInvalid) == 0)
                {
                    _tables.Write(table + (i * 8), ZpciIoTable.PageInvalid);
                }
            }
        }
    }

    private static ulong IovaOf(int region, int segment, ulong page) =>
        NestingTables.FirstIova + ((ulong)region << 31) + ((ulong)segment << 20) + (page << 12);

    private ulong AnyIova() => IovaOf(_random.Next(2), _random.Next(Segments), (ulong)_random.Next(256));

    // Mostly memory, sometimes such that cannot be written, rarely none.
    private ulong AnyPage() => _random.Next(50) switch
    {
        0 => NestingTables.FirstLength + (20ul << 20),
        < 8 => NestingTables.ReadOnlyAddress + ((ulong)_random.Next(64) << 12),
        < 20 => NestingTables.SecondAddress + ((ulong)_random.Next(64) << 12),
        _ => (8ul << 20) + ((ulong)_random.Next(64) << 12),
    };
}
