using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// Which pages of some ranges of I/O addresses one device has written, whatever is mapped there and whichever domain it went through.
/// Marking may happen on any thread, also while the log is read; it allocates nothing.
/// </summary>
internal sealed class DmaWriteLog
{
    /// <summary>Largest page that a user can choose.</summary>
    public const ulong LargestChosenPage = 2 << 20;

    /// <summary>No log takes more bits than this: 512 GiB in pages of 4 KiB. Larger pages are taken instead.</summary>
    private const ulong LargestBits = 1 << 27;

    private const int PagesAtOnceLog2 = 16;

    private readonly IovaRange[] _ranges;
    private readonly DirtyLog[] _logs;
    private readonly ulong[] _bases;

    private DmaWriteLog(IReadOnlyList<IovaRange> ranges, int shift)
    {
        PageSize = 1ul << shift;
        _ranges = [.. ranges.OrderBy(static r => r.First)];
        _bases = [.. _ranges.Select(r => r.First >> shift << shift)];
        _logs = [.. _ranges.Select((r, i) => new DirtyLog(r.Last - _bases[i] + 1, shift))];
    }

    /// <summary>Bytes that one bit stands for.</summary>
    public ulong PageSize { get; }

    /// <summary>Makes an empty log.</summary>
    /// <param name="ranges">What shall be remembered; they do not overlap.</param>
    /// <param name="wanted">The page size that the user would like.</param>
    /// <returns>The log, with a page size as close to that as is possible.</returns>
    public static DmaWriteLog Create(IReadOnlyList<IovaRange> ranges, ulong wanted)
    {
        ulong page = BitOperations.IsPow2(wanted) ? wanted : VfioFeatureDmaLoggingReport.SmallestPage;
        int shift = BitOperations.Log2(Math.Clamp(page, VfioFeatureDmaLoggingReport.SmallestPage, LargestChosenPage));
        while (ranges.Aggregate(0ul, (sum, r) => sum + ((r.Last - r.First) >> shift) + 1) > LargestBits)
        {
            shift++;
        }

        return new DmaWriteLog(ranges, shift);
    }

    /// <summary>The device has written, or may have.</summary>
    public void Mark(ulong iova, ulong length)
    {
        if (length == 0)
        {
            return;
        }

        ulong last = iova + (length - 1) < iova ? ulong.MaxValue : iova + (length - 1);
        for (int i = FirstEndingFrom(iova); i < _ranges.Length && _ranges[i].First <= last; i++)
        {
            ulong from = Math.Max(iova, _ranges[i].First);
            ulong to = Math.Min(last, _ranges[i].Last);
            _logs[i].Mark(from - _bases[i], to - from + 1);
        }
    }

    /// <summary>Tells and forgets what was written within a range; a run whose receiver throws is not forgotten.</summary>
    public void Report(IovaRange range, Action<IovaRange> receiver)
    {
        ulong mask = PageSize - 1;
        for (int i = FirstEndingFrom(range.First); i < _ranges.Length && _ranges[i].First <= range.Last; i++)
        {
            ulong first = Math.Max(range.First, _ranges[i].First);
            ulong last = Math.Min(range.Last, _ranges[i].Last);

            // A page of the log of which only a part is asked for is told, but not forgotten: the rest of it would be lost.
            bool cutStart = first != _ranges[i].First && (first & mask) != 0;
            bool cutEnd = last != _ranges[i].Last && (last & mask) != mask;
            if (cutStart || (cutEnd && (first & ~mask) == (last & ~mask)))
            {
                ulong end = Math.Min(last, first | mask);
                Collect(i, first, end, keep: true, receiver);
                if (end == last)
                {
                    continue;
                }

                first = end + 1;
            }

            if (cutEnd)
            {
                ulong start = last & ~mask;
                Collect(i, start, last, keep: true, receiver);
                if (start <= first)
                {
                    continue;
                }

                last = start - 1;
            }

            CollectInParts(i, first, last, receiver);
        }
    }

    private void CollectInParts(int index, ulong first, ulong last, Action<IovaRange> receiver)
    {
        ulong part = PageSize << PagesAtOnceLog2;
        while (true)
        {
            ulong end = Math.Min(last, first | (part - 1));
            Collect(index, first, end, keep: false, receiver);
            if (end == last)
            {
                return;
            }

            first = end + 1;
        }
    }

    private void Collect(int index, ulong first, ulong last, bool keep, Action<IovaRange> receiver)
    {
        var runs = new List<IovaRange>();
        ulong start = _bases[index];
        _logs[index].Collect(start, first - start, last - start, keep, runs);
        Tell(runs, receiver);
    }

    private void Tell(List<IovaRange> runs, Action<IovaRange> receiver)
    {
        for (int i = 0; i < runs.Count; i++)
        {
            try
            {
                receiver(runs[i]);
            }
            catch
            {
                for (; i < runs.Count; i++)
                {
                    Mark(runs[i].First, runs[i].Last - runs[i].First + 1);
                }

                throw;
            }
        }
    }

    private int FirstEndingFrom(ulong iova)
    {
        int low = 0;
        int high = _ranges.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (_ranges[middle].Last < iova)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
