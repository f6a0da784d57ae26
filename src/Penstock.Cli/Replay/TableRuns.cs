using Penstock.Hypervisor;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Cli.Replay;

/// <summary>What a guest's tables said about a refreshed range, as a recording has it: runs of pages, ascending.</summary>
internal sealed class TableRuns : IIoWalker
{
    private readonly List<TableRun> _runs = [];
    private int _last;

    /// <summary>The first address that was asked for and is in no run.</summary>
    public ulong? Missing { get; private set; }

    public void Clear()
    {
        _runs.Clear();
        _last = 0;
        Missing = null;
    }

    /// <summary>Adds a run; says whether it comes after the ones before.</summary>
    public bool TryAdd(TableRun run)
    {
        if (_runs.Count != 0 && run.First <= _runs[^1].Last)
        {
            return false;
        }

        _runs.Add(run);
        return true;
    }

    public IoWalk Walk(Iota iota, ulong iova)
    {
        if (!TryFind(iova, out TableRun run))
        {
            Missing ??= iova;
            return IoWalk.Failed(iova, ZpciTableLevel.Page, ZpciErrorEvent.SystemError);
        }

        return run.Walk(iova);
    }

    private bool TryFind(ulong iova, out TableRun run)
    {
        // Nearly always the same run as before, or the next one.
        for (int i = _last; i < Math.Min(_last + 2, _runs.Count); i++)
        {
            if (_runs[i].Has(iova))
            {
                _last = i;
                run = _runs[i];
                return true;
            }
        }

        int low = 0;
        int high = _runs.Count - 1;
        while (low <= high)
        {
            int middle = (low + high) >>> 1;
            run = _runs[middle];
            if (run.Has(iova))
            {
                _last = middle;
                return true;
            }

            (low, high) = iova < run.First ? (low, middle - 1) : (middle + 1, high);
        }

        run = default;
        return false;
    }
}
