using System.Runtime.InteropServices;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// What the fallback has mapped, by page, with a count for each segment, so that stretches without a page cost nothing. Grows with the number of
/// mapped pages and with nothing else. Not for several threads at once.
/// </summary>
internal sealed class RefreshCache
{
    private const int PageShift = (int)ZpciTableLevel.Page;
    private const int SegmentShift = (int)ZpciTableLevel.Segment;
    private const ulong Writable = 1;

    private readonly Dictionary<ulong, ulong> _pages = [];
    private readonly Dictionary<ulong, int> _segments = [];

    /// <summary>How many pages there are.</summary>
    public int Count => _pages.Count;

    /// <summary>All pages, in no order: I/O address, address, whether it may be written.</summary>
    public IEnumerable<(ulong Iova, ulong Address, bool CanWrite)> Pages =>
        _pages.Select(static p => (p.Key << PageShift, p.Value & ~Writable, (p.Value & Writable) != 0));

    /// <summary>What is there for a page, compared with what is to be.</summary>
    public CachedPage Find(ulong iova, ulong address, bool canWrite) =>
        !_pages.TryGetValue(iova >> PageShift, out ulong there) ? CachedPage.None
        : there == ValueOf(address, canWrite) ? CachedPage.Same
        : CachedPage.Other;

    /// <summary>Puts a page, in place of what is there.</summary>
    public void Put(ulong iova, ulong address, bool canWrite)
    {
        ref ulong value = ref CollectionsMarshal.GetValueRefOrAddDefault(_pages, iova >> PageShift, out bool exists);
        value = ValueOf(address, canWrite);
        if (!exists)
        {
            CollectionsMarshal.GetValueRefOrAddDefault(_segments, iova >> SegmentShift, out _)++;
        }
    }

    /// <summary>Forgets a stretch of whole pages.</summary>
    /// <returns>How many pages were forgotten.</returns>
    public long Drop(ulong first, ulong end)
    {
        if (_pages.Count == 0)
        {
            return 0;
        }

        ulong segments = ((end - 1) >> SegmentShift) - (first >> SegmentShift) + 1;
        if (segments > (ulong)_segments.Count)
        {
            return DropKnown(first, end);
        }

        long dropped = 0;
        for (ulong at = first; at != end;)
        {
            ulong rest = ZpciIoTable.SegmentSize - (at & (ZpciIoTable.SegmentSize - 1));
            ulong next = rest < end - at ? at + rest : end;
            dropped += DropInSegment(at, next);
            at = next;
        }

        return dropped;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        _pages.Clear();
        _segments.Clear();
    }

    private static ulong ValueOf(ulong address, bool canWrite) => address | (canWrite ? Writable : 0);

    /// <summary>The stretch has more segments than there are with a page: look at those.</summary>
    private long DropKnown(ulong first, ulong end)
    {
        long dropped = 0;

        // Removing does not disturb the enumeration of a dictionary.
        foreach (ulong segment in _segments.Keys)
        {
            ulong from = Math.Max(first, segment << SegmentShift);
            ulong last = Math.Min(end - 1, (segment << SegmentShift) + (ZpciIoTable.SegmentSize - 1));
            if (from <= last)
            {
                dropped += DropInSegment(from, last + 1);
            }
        }

        return dropped;
    }

    private int DropInSegment(ulong first, ulong end)
    {
        ulong segment = first >> SegmentShift;
        if (!_segments.TryGetValue(segment, out int count))
        {
            return 0;
        }

        int dropped = 0;
        ulong last = (end - 1) >> PageShift;
        for (ulong page = first >> PageShift; page <= last && dropped != count; page++)
        {
            dropped += _pages.Remove(page) ? 1 : 0;
        }

        if (dropped == count)
        {
            _segments.Remove(segment);
        }
        else if (dropped != 0)
        {
            _segments[segment] = count - dropped;
        }

        return dropped;
    }
}
