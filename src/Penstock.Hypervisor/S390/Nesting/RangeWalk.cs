using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Walks a guest's tables for a range of addresses, each table once: what <see cref="IoTableWalk"/> finds for every page, at a fraction of the cost. Lives on
/// the stack; allocates nothing. The guest may change the tables meanwhile.
/// </summary>
internal unsafe ref struct RangeWalk<TVisitor>
    where TVisitor : struct, IRangeVisitor
{
    private readonly SpaceTableReader _reader;
    private readonly ulong _last;
    private readonly ref TVisitor _visitor;

    internal RangeWalk(SpaceTableReader reader, ref TVisitor visitor, ulong first, ulong last)
    {
        _reader = reader;
        _visitor = ref visitor;
        At = first;
        _last = last;
    }

    /// <summary>Where the walk is, or where its error was found.</summary>
    internal ulong At { get; private set; }

    /// <summary>Walks.</summary>
    /// <param name="iota">The anchor.</param>
    /// <returns>The error that ended the walk, or none.</returns>
    internal ZpciErrorEvent Walk(Iota iota)
    {
        if (!iota.HasTable)
        {
            return iota.IsTranslating ? ZpciErrorEvent.InvalidTranslationFormat : ZpciErrorEvent.InvalidAddressSpace;
        }

        ulong covered = Math.Min(_last, iota.LastAddress);
        if (At <= covered)
        {
            ZpciErrorEvent fault = Tables((int)iota.Level, iota.Origin, covered, !iota.IsProtected);
            if (fault != ZpciErrorEvent.None || covered == _last || _visitor.IsDone)
            {
                return fault;
            }

            At = covered + 1;
        }

        return ZpciErrorEvent.AddressOutOfRange;
    }

    /// <summary>A region or segment table, up to an address; <see cref="At"/> is that address afterwards.</summary>
    private ZpciErrorEvent Tables(int level, ulong table, ulong last, bool writable)
    {
        while (true)
        {
            ulong index = (At >> level) & (ZpciIoTable.TableEntries - 1);
            ulong stepLast = Math.Min(last, At | ((1ul << level) - 1));
            _reader.TryRead(table + (index * ZpciIoTable.EntrySize), out ulong entry);
            if (entry == 0)
            {
                return ZpciErrorEvent.InvalidTableEntry;
            }

            ZpciErrorEvent fault = ZpciErrorEvent.None;
            if ((entry & ZpciIoTable.TableInvalid) != 0)
            {
                _visitor.Nothing((ZpciTableLevel)level, At, stepLast);
            }
            else
            {
                bool mayWrite = writable && (entry & ZpciIoTable.Protected) == 0;
                fault = level == (int)ZpciTableLevel.Segment ? Segment(entry, stepLast, mayWrite) : Region(level, entry, stepLast, mayWrite);
            }

            if (fault != ZpciErrorEvent.None || _visitor.IsDone)
            {
                return fault;
            }

            At = stepLast;
            if (stepLast == last)
            {
                return ZpciErrorEvent.None;
            }

            At++;
        }
    }

    private ZpciErrorEvent Region(int level, ulong entry, ulong last, bool writable)
    {
        if ((entry & (ZpciIoTable.LengthMask | ZpciIoTable.OffsetMask)) != ZpciIoTable.LengthMask)
        {
            return ZpciErrorEvent.InvalidTableLength;
        }

        ulong type = (ulong)(level - (int)ZpciTableLevel.Segment) / ZpciIoTable.LevelBits * ZpciIoTable.TypeStep;
        ulong next = entry & ZpciIoTable.RegionOrigin;
        if ((entry & ZpciIoTable.TypeMask) != type || next == 0)
        {
            return ZpciErrorEvent.TranslationType;
        }

        _visitor.Table((ZpciTableLevel)level, At, next);
        return Tables(level - ZpciIoTable.LevelBits, next, last, writable);
    }

    private ZpciErrorEvent Segment(ulong entry, ulong last, bool writable)
    {
        ulong next = entry & ZpciIoTable.SegmentOrigin;
        if ((entry & ZpciIoTable.TypeMask) != ZpciIoTable.TypeSegment || next == 0)
        {
            return ZpciErrorEvent.TranslationType;
        }

        if ((entry & ZpciIoTable.LargeFrame) == 0)
        {
            _visitor.Table(ZpciTableLevel.Segment, At, next);
            return Pages(next, last, writable);
        }

        _visitor.Frame(At);
        ulong frame = entry & ZpciIoTable.SegmentFrame;
        while (!_visitor.SkipsFrame)
        {
            _visitor.Page(At, frame | (At & ~ZpciIoTable.SegmentFrame & ZpciIoTable.PageFrame), writable);
            ulong pageLast = At | (ZpciIoTable.PageSize - 1);
            if (pageLast >= last)
            {
                break;
            }

            At = pageLast + 1;
        }

        return ZpciErrorEvent.None;
    }

    private ZpciErrorEvent Pages(ulong table, ulong last, bool writable)
    {
        const ulong IndexMask = ZpciIoTable.PageEntries - 1;
        ulong* copy = stackalloc ulong[ZpciIoTable.PageEntries];
        ulong* entries = _reader.Look(table, ZpciIoTable.PageEntries, copy);
        if (entries == null)
        {
            return ZpciErrorEvent.InvalidTableEntry;
        }

        ulong index = (At >> (int)ZpciTableLevel.Page) & IndexMask;
        ulong lastIndex = (last >> (int)ZpciTableLevel.Page) & IndexMask;
        while (true)
        {
            // SAFETY: an index into the table, which the reader has found as a whole.
            ulong entry = GuestTableEntry.OfGuest(Volatile.Read(ref entries[index]));
            ulong page = entry & ZpciIoTable.PageFrame;
            if ((entry & ZpciIoTable.PageInvalid) != 0)
            {
                _visitor.Nothing(ZpciTableLevel.Page, At, Math.Min(last, At | (ZpciIoTable.PageSize - 1)));
            }
            else if (page == 0)
            {
                return entry == 0 ? ZpciErrorEvent.InvalidTableEntry : ZpciErrorEvent.TranslationType;
            }
            else
            {
                _visitor.Page(At, page, writable && (entry & ZpciIoTable.Protected) == 0);
            }

            if (index == lastIndex)
            {
                return ZpciErrorEvent.None;
            }

            index++;
            At = (At | (ZpciIoTable.PageSize - 1)) + 1;
        }
    }
}
