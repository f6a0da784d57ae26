using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Brings a shadow up to date for a range, in passes as the VMM's own path makes them: what does not fit the first time may fit when later entries have given
/// something back. One thread at a time; allocates no managed memory.
/// </summary>
internal sealed unsafe partial class ShadowUpdate : IDisposable
{
    // A guest that changes its tables all the time must not keep a processor here.
    private const int MostPasses = 16;
    private const int MostDropped = 256;

    // Nor one whose tables name a great many pages that there is no room for, or that are no memory.
    private const int MostFailures = 1 << 16;
    private const int RootPages = (int)(ZpciIoTable.TableSize / ZpciIoTable.PageSize);

    private readonly ResourceLedger _ledger;
    private readonly GuestPins _pins;
    private readonly IShadowTarget _target;
    private readonly ShadowTable _table;
    private readonly SpaceTableReader _reader;
    private readonly DmaBudget? _budget;
    private ulong* _dropped;
    private int _droppedCount;
    private ShadowTable.TablePins _root;
    private ShadowTable.Region* _region;
    private ShadowTable.Leaf* _leaf;
    private ulong _segmentTable;
    private ulong _pageTable;
    private long _entries;
    private ulong _first;
    private ulong _last;
    private bool _changed;
    private bool _again;
    private bool _starved;
    private bool _failed;
    private bool _flushed;
    private bool _skipsFrame;
    private int _failures;

    /// <summary>Creates it with an empty shadow.</summary>
    /// <param name="pins">The guest's pages.</param>
    /// <param name="target">The host's tables; become this object's.</param>
    /// <param name="budget">How many pages there may be, with those of others; null when there is no such limit.</param>
    /// <param name="tableLimit">Most leaf tables in the shadow.</param>
    /// <param name="ledger">Where memory is counted.</param>
    internal ShadowUpdate(GuestPins pins, IShadowTarget target, DmaBudget? budget, int tableLimit, ResourceLedger ledger)
    {
        _ledger = ledger;
        _pins = pins;
        _target = target;
        _budget = budget;
        _reader = new SpaceTableReader(new PinnedSpace(pins));
        _table = new ShadowTable(ledger, pins, tableLimit);

        // SAFETY: freed by Dispose, once; the count never exceeds the room.
        _dropped = NativeBlock.Allocate<ulong>(MostDropped, ledger);
    }

    /// <summary>Pages in the shadow.</summary>
    internal long Entries => Volatile.Read(ref _entries);

    /// <summary>Entries that were there and are gone or different, so far.</summary>
    internal long Changed { get; private set; }

    /// <summary>Whether one more page may be in the shadow.</summary>
    internal bool HasBudget => _budget is null || _budget.Available > 0;

    private bool GivesUp => _failures >= MostFailures;

    public void Dispose()
    {
        if (_dropped != null)
        {
            Clear();
            _table.Dispose();
            NativeBlock.Free(ref _dropped, _ledger);
        }
    }

    /// <summary>Pins the first table.</summary>
    /// <returns>None; EFAULT: not all of it is memory that may be written; ENOMEM: over the limit. Nothing is pinned then.</returns>
    internal Errno PinRoot(Iota iota)
    {
        _pins.Begin(RootPages);
        try
        {
            return _root.Pin(_pins, iota.Origin, RootPages, write: true);
        }
        finally
        {
            _pins.End();
        }
    }

    /// <summary>Updates a range.</summary>
    /// <param name="iota">The anchor.</param>
    /// <param name="first">First address.</param>
    /// <param name="last">Last one.</param>
    /// <param name="reached">Where an error was found.</param>
    /// <param name="full">Whether something is missing for want of memory, or the last of it was used.</param>
    /// <returns>The error that ended it, or none.</returns>
    internal ZpciErrorEvent Refresh(Iota iota, ulong first, ulong last, out ulong reached, out bool full)
    {
        ZpciErrorEvent fault;
        (_first, _last, _failed, _failures) = (first, last, false, 0);
        _pins.Begin(((last - first) / ZpciIoTable.PageSize) + 1);
        try
        {
            int passes = 0;
            do
            {
                (_again, _starved, _flushed) = (false, false, false);
                _region = null;
                _leaf = null;
                (_segmentTable, _pageTable) = (0, 0);
                var visitor = new Visitor(this);
                var walk = new RangeWalk<Visitor>(_reader, ref visitor, first, last);
                fault = walk.Walk(iota);
                reached = walk.At;
                if (GivesUp && fault == ZpciErrorEvent.None && (reached | (ZpciIoTable.SegmentSize - 1)) < last)
                {
                    // What is not looked at any more is not reached either.
                    Nothing(ZpciTableLevel.Segment, (reached | (ZpciIoTable.SegmentSize - 1)) + 1, last);
                }

                if (_starved && _droppedCount != 0)
                {
                    Flush();
                }
            }
            while (fault == ZpciErrorEvent.None && _again && !GivesUp && (_starved ? _flushed : HasBudget) && ++passes < MostPasses);
            Flush();
        }
        finally
        {
            _pins.End();
        }

        full = !HasBudget || _again || _failed;
        return fault;
    }

    /// <summary>Takes everything out and gives everything back.</summary>
    internal void Clear()
    {
        (_first, _last) = (0, ShadowTable.LastAddress);
        _pins.Begin(0);
        try
        {
            Nothing(ZpciTableLevel.RegionThird, 0, ShadowTable.LastAddress);
            Flush();
            _root.Unpin(_pins);
        }
        finally
        {
            _pins.End();
        }
    }

    private void Table(ZpciTableLevel level, ulong iova, ulong origin)
    {
        if (level == ZpciTableLevel.RegionThird)
        {
            _region = _table.RegionAt(iova);
            _segmentTable = origin;
            if (_region != null)
            {
                Repin(ref _region->Table, origin, RootPages);
            }

            return;
        }

        _leaf = _table.LeafAt(iova);
        _pageTable = origin;
        if (_leaf != null)
        {
            Repin(ref _leaf->Table, origin, 1);
        }
    }

    /// <summary>The guest has another table in the place of one that is pinned.</summary>
    private void Repin(ref ShadowTable.TablePins table, ulong origin, int pages)
    {
        if (table.Origin != 0 && table.Origin != origin)
        {
            table.Unpin(_pins);

            // Without success it is tried again when a page is put in below it.
            TryPinTable(ref table, origin, pages);
        }
    }

    private void Frame(ulong iova)
    {
        _leaf = _table.LeafAt(iova);
        _pageTable = 0;
        _skipsFrame = false;
        if (_leaf != null)
        {
            _leaf->Table.Unpin(_pins);
        }
    }

    private void Nothing(ZpciTableLevel level, ulong first, ulong last)
    {
        if (level == ZpciTableLevel.Page)
        {
            if (_leaf != null && _leaf->Entry(first) != 0)
            {
                TakeOut(first, ref _leaf->Entry(first), returns: true);
            }

            return;
        }

        ulong at = first;
        while (true)
        {
            ShadowTable.Region* region = _table.RegionAt(at);
            ulong regionLast = Math.Min(last, at | ((1ul << (int)ZpciTableLevel.RegionThird) - 1));
            if (region != null)
            {
                if (level == ZpciTableLevel.RegionThird)
                {
                    region->Table.Unpin(_pins);
                }

                Segments(region, at, regionLast);
            }

            if (regionLast == last)
            {
                return;
            }

            at = regionLast + 1;
        }
    }

    /// <summary>Takes everything out of a range in one region; its page tables are out of the guest's reach.</summary>
    private void Segments(ShadowTable.Region* region, ulong first, ulong last)
    {
        ulong at = first;
        while (true)
        {
            ulong segmentLast = Math.Min(last, at | (ZpciIoTable.SegmentSize - 1));
            ShadowTable.Leaf* leaf = region->Leaf((int)(at >> (int)ZpciTableLevel.Segment) & (ZpciIoTable.TableEntries - 1));
            if (leaf != null)
            {
                leaf->Table.Unpin(_pins);
                _leaf = leaf;
                for (ulong page = at; leaf->Live != 0; page = (page | (ZpciIoTable.PageSize - 1)) + 1)
                {
                    ref ulong entry = ref leaf->Entry(page);
                    if (entry != 0)
                    {
                        TakeOut(page, ref entry, returns: true);
                    }

                    if ((page | (ZpciIoTable.PageSize - 1)) >= segmentLast)
                    {
                        break;
                    }
                }
            }

            if (segmentLast == last)
            {
                return;
            }

            at = segmentLast + 1;
        }
    }

    private readonly struct Visitor(ShadowUpdate shadow) : IRangeVisitor
    {
        public bool SkipsFrame => shadow._skipsFrame;

        public bool IsDone => shadow.GivesUp;

        public void Table(ZpciTableLevel level, ulong iova, ulong origin) => shadow.Table(level, iova, origin);

        public void Frame(ulong iova) => shadow.Frame(iova);

        public void Page(ulong iova, ulong address, bool writable) => shadow.Page(iova, address, writable);

        public void Nothing(ZpciTableLevel level, ulong first, ulong last) => shadow.Nothing(level, first, last);
    }
}
