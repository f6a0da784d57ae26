using System.Text.Json.Nodes;

namespace Penstock.Cli.Bench;

/// <summary>A measure over all rounds: best and median of the rounds' means, and ratios of best to best and median to median.</summary>
internal sealed record BenchSummary(double Best, double Median, double? FloorBest, double? FloorMedian, double? BestRatio, double? MedianRatio)
{
    public static BenchSummary Of(IEnumerable<BenchSample> measure, string ours, string floor)
    {
        ILookup<string, BenchSample> by = measure.ToLookup(s => s.Label);
        double[] own = [.. by[ours].OrderBy(s => s.Round).Select(s => s.Mean)];
        double[] peer = [.. by[floor].OrderBy(s => s.Round).Select(s => s.Mean)];
        if (peer.Length == 0)
        {
            return new BenchSummary(own.Min(), MedianOf(own), null, null, null, null);
        }

        return new BenchSummary(own.Min(), MedianOf(own), peer.Min(), MedianOf(peer), own.Min() / peer.Min(), MedianOf(own) / MedianOf(peer));
    }

    public JsonObject ToJson(string measure, int rounds) => new()
    {
        ["measure"] = measure,
        ["rounds"] = rounds,
        ["best_ns"] = Rounded(Best, 1),
        ["median_ns"] = Rounded(Median, 1),
        ["floor_best_ns"] = Rounded(FloorBest, 1),
        ["floor_median_ns"] = Rounded(FloorMedian, 1),
        ["best_ratio"] = Rounded(BestRatio, 4),
        ["median_ratio"] = Rounded(MedianRatio, 4),
    };

    private static double? Rounded(double? value, int digits) => value is double known ? Math.Round(known, digits) : null;

    internal static double MedianOf(double[] values)
    {
        double[] sorted = [.. values.Order()];
        int middle = sorted.Length / 2;
        return sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
