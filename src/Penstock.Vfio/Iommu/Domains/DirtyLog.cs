namespace Penstock.Vfio;

/// <summary>Which pages of one mapping devices have written. Marking may happen on any thread, also while the log is read.</summary>
internal sealed class DirtyLog
{
    private const int WordBits = 64;

    // 2 GiB of bits: mappings up to 64 TiB in small pages.
    private const ulong LargestWords = 1 << 28;

    private readonly ulong[] _words;
    private readonly int _pageShift;

    internal DirtyLog(ulong length, int pageShift)
    {
        _pageShift = pageShift;
        _words = new ulong[((length - 1) >> pageShift) / WordBits + 1];
    }

    internal static bool CanHold(ulong length, int pageShift) => ((length - 1) >> pageShift) / WordBits < LargestWords;

    internal void Mark(ulong offset, ulong length)
    {
        ulong last = (offset + (length - 1)) >> _pageShift;
        for (ulong page = offset >> _pageShift; page <= last; page++)
        {
            Interlocked.Or(ref _words[page / WordBits], 1ul << (int)(page % WordBits));
        }
    }

    /// <summary>Adds the written pages among some bytes of the mapping; forgets them unless they are kept.</summary>
    /// <param name="iova">Address of the mapping.</param>
    /// <param name="first">First byte in the mapping.</param>
    /// <param name="last">Last byte in the mapping.</param>
    /// <param name="keep">Whether the bits stay.</param>
    /// <param name="runs">Receives them, ascending.</param>
    internal void Collect(ulong iova, ulong first, ulong last, bool keep, List<IovaRange> runs)
    {
        for (ulong page = first >> _pageShift; page <= last >> _pageShift; page++)
        {
            ref ulong word = ref _words[page / WordBits];
            if (Volatile.Read(ref word) == 0)
            {
                page |= WordBits - 1;
                continue;
            }

            ulong bit = 1ul << (int)(page % WordBits);
            if (((keep ? Volatile.Read(ref word) : Interlocked.And(ref word, ~bit)) & bit) == 0)
            {
                continue;
            }

            ulong start = iova + Math.Max(first, page << _pageShift);
            ulong end = iova + Math.Min(last, (page << _pageShift) + ((1ul << _pageShift) - 1));
            if (runs.Count != 0 && runs[^1].Last + 1 == start)
            {
                runs[^1] = runs[^1] with { Last = end };
            }
            else
            {
                runs.Add(new IovaRange(start, end));
            }
        }
    }
}
