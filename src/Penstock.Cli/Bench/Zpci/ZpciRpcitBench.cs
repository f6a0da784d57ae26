using System.Globalization;
using System.Text.Json.Nodes;

namespace Penstock.Cli.Bench;

/// <summary>What a page costs that a guest maps or unmaps and tells of by RPCIT, in each mode: the modes take turns, on the same guest.</summary>
internal sealed class ZpciRpcitBench(ZpciBenchOptions options, Output output) : IDisposable
{
    private readonly ZpciRpcitRig _rig = new(options.Processor);
    private readonly TextTable _table = new(
        [new("MODE"), new("READER"), new("PAGES", true), new("MAP BEST", true), new("MEDIAN", true), new("UNMAP BEST", true), new("MEDIAN", true)]);

    /// <summary>First page that stays mapped.</summary>
    private int Kept => _rig.Guest.Pages - ZpciRpcitSubject.AtOnce;

    /// <summary>Median nanoseconds of a page mapped or unmapped by an RPCIT of its own, by mode, nobody translating.</summary>
    public Dictionary<string, double> Pages { get; } = [];

    /// <summary>All modes, nobody translating.</summary>
    public void Run(CancellationToken cancellation)
    {
        // One page table stays mapped, for who translates.
        for (int page = Kept; page < _rig.Guest.Pages; page++)
        {
            _rig.Guest.Set(page);
        }

        foreach (ZpciRpcitSubject subject in _rig.Subjects)
        {
            subject.Refresh(Kept, ZpciRpcitSubject.AtOnce);
        }

        foreach (int count in new[] { 1, ZpciRpcitSubject.AtOnce })
        {
            Measure(_rig.Subjects, count, reader: false, cancellation);
        }
    }

    /// <summary>Modes whose devices translate in this process, while one does; then all figures.</summary>
    public void RunWithReader(CancellationToken cancellation)
    {
        foreach (ZpciRpcitSubject subject in _rig.Subjects.Where(static s => s.Domain is not null))
        {
            using var reader = new BenchReader(_rig.GroupOf(subject), ZpciBenchGuest.IovaOf(Kept));
            Measure([subject], 1, reader: true, cancellation);
        }

        output.Line($"\nRPCIT, nanoseconds for a page, {options.Rounds} rounds in turn; PAGES is how many each RPCIT names:\n\n{_table}\n");
        double nested = Pages["nested"];
        double[] ratios = [Pages["fallback, socket"] / nested, Pages["shadow"] / nested];
        output.Line($"fallback over a socket : shadow : nested = {Text(ratios[0])} : {Text(ratios[1])} : 1, median of mapping and unmapping a page");
        output.Object(new JsonObject
        {
            ["measure"] = "rpcit_ratio",
            ["fallback"] = Math.Round(ratios[0], 2),
            ["fallback_container"] = Math.Round(Pages["fallback, container"] / nested, 2),
            ["shadow"] = Math.Round(ratios[1], 2),
            ["nested"] = 1,
        });
    }

    public void Dispose() => _rig.Dispose();

    private void Measure(IReadOnlyList<ZpciRpcitSubject> subjects, int count, bool reader, CancellationToken cancellation)
    {
        var maps = new double[subjects.Count][];
        var unmaps = new double[subjects.Count][];
        for (int round = -2; round < options.Rounds; round++)
        {
            for (int i = 0; i < subjects.Count; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                (double map, double unmap) = subjects[i].Measure(_rig.Guest, count);
                (maps[i] ??= new double[options.Rounds])[Math.Max(round, 0)] = map;
                (unmaps[i] ??= new double[options.Rounds])[Math.Max(round, 0)] = unmap;
            }
        }

        for (int i = 0; i < subjects.Count; i++)
        {
            Report(subjects[i].Name, count, reader, maps[i], unmaps[i]);
        }
    }

    private void Report(string mode, int count, bool reader, double[] maps, double[] unmaps)
    {
        double map = BenchSummary.MedianOf(maps);
        double unmap = BenchSummary.MedianOf(unmaps);
        if (count == 1 && !reader)
        {
            Pages[mode] = (map + unmap) / 2;
        }

        _table.Add(mode, reader ? "yes" : "no", count.ToString(CultureInfo.InvariantCulture), Text(maps.Min()), Text(map), Text(unmaps.Min()), Text(unmap));
        output.Object(new JsonObject
        {
            ["measure"] = "rpcit",
            ["mode"] = mode,
            ["reader"] = reader,
            ["pages"] = count,
            ["rounds"] = options.Rounds,
            ["map_best_ns"] = Math.Round(maps.Min(), 1),
            ["map_median_ns"] = Math.Round(map, 1),
            ["unmap_best_ns"] = Math.Round(unmaps.Min(), 1),
            ["unmap_median_ns"] = Math.Round(unmap, 1),
        });
    }

    private static string Text(double value) => value.ToString("F1", CultureInfo.InvariantCulture);
}
