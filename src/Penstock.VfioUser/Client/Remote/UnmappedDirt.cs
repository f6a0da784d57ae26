using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <summary>
/// What a logged device has written to memory that was unmapped since: servers forget the log of a map with the map, so it is asked for in the unmap
/// itself and kept until the next report. With the link's gate held.
/// </summary>
/// <param name="pageSize">Bytes that one bit stands for.</param>
internal sealed class UnmappedDirt(ulong pageSize)
{
    /// <summary>More runs than this are kept as one that covers all of them: too much is dirty then, never too little.</summary>
    private const int MostRuns = 64 * 1024;

    private readonly List<IovaRange> _runs = [];

    public ulong PageSize => pageSize;

    /// <summary>Unmaps and keeps what the server tells.</summary>
    /// <returns>False: the mapping is still there, the server does not do it so; all of it counts as written.</returns>
    public bool TryUnmap(VfioUserClient client, RemoteMapping mapping)
    {
        ulong[] bitmap;
        try
        {
            bitmap = client.UnmapDma(mapping.Iova, mapping.Size, pageSize);
        }
        catch (VfioException)
        {
            if (client.Failure is not null)
            {
                // With the connection the maps are over, too.
                return true;
            }

            // Too long for a bitmap, or the server has none: all of it may have been written.
            Keep(new IovaRange(mapping.Iova, mapping.Iova + (mapping.Size - 1)));
            return false;
        }

        ForEachRun(bitmap, new IovaRange(mapping.Iova, mapping.Iova + (mapping.Size - 1)), pageSize, Keep);
        return true;
    }

    public void Keep(IovaRange run)
    {
        if (_runs.Count < MostRuns)
        {
            _runs.Add(run);
            return;
        }

        IovaRange all = _runs.Aggregate(run, static (a, b) => new IovaRange(Math.Min(a.First, b.First), Math.Max(a.Last, b.Last)));
        _runs.Clear();
        _runs.Add(all);
    }

    /// <summary>Gives out what lies within a range, and forgets it.</summary>
    public List<IovaRange> Take(IovaRange range)
    {
        var taken = new List<IovaRange>();
        for (int i = _runs.Count - 1; i >= 0; i--)
        {
            IovaRange run = _runs[i];
            if (!run.Overlaps(range))
            {
                continue;
            }

            _runs.RemoveAt(i);
            taken.Add(new IovaRange(Math.Max(run.First, range.First), Math.Min(run.Last, range.Last)));
            if (run.First < range.First)
            {
                _runs.Add(new IovaRange(run.First, range.First - 1));
            }

            if (run.Last > range.Last)
            {
                _runs.Add(new IovaRange(range.Last + 1, run.Last));
            }
        }

        return taken;
    }

    /// <summary>Calls with each run of set bits, as addresses.</summary>
    public static void ForEachRun(ReadOnlySpan<ulong> bitmap, IovaRange range, ulong pageSize, Action<IovaRange> receiver)
    {
        ulong pages = ((range.Last - range.First) / pageSize) + 1;
        ulong start = ulong.MaxValue;
        for (ulong page = 0; page <= pages; page++)
        {
            bool dirty = page < pages && (bitmap[(int)(page / 64)] & (1ul << (int)(page % 64))) != 0;
            if (dirty && start == ulong.MaxValue)
            {
                start = page;
            }
            else if (!dirty && start != ulong.MaxValue)
            {
                receiver(new IovaRange(range.First + (start * pageSize), page == pages ? range.Last : range.First + (page * pageSize) - 1));
                start = ulong.MaxValue;
            }
        }
    }
}
