using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>
/// One page mapped and unmapped in an address space of the host's DMA API: strictly, and lazily with queues of 1 to 32768 unmaps, with nobody
/// translating and with a thread that does nothing else.
/// </summary>
internal sealed class ZpciUnmapBench(ZpciBenchOptions options, Output output)
{
    private const int LargestQueue = 32768;
    private const int LeastOperations = 4096;
    private const double Close = 1.1;

    private readonly TextTable _table = new([new("QUEUE", true), new("READER"), new("BEST", true), new("MEDIAN", true), new("FLUSHES", true)]);

    /// <summary>Median nanoseconds of a map and an unmap with a reader, by queue size; 0 is strict.</summary>
    public SortedDictionary<int, double> WithReader { get; } = [];

    public void Run(CancellationToken cancellation)
    {
        var knees = new List<string>();
        foreach (bool reader in new[] { false, true })
        {
            var medians = new SortedDictionary<int, double> { [0] = Measure(0, reader, cancellation) };
            for (int queue = 1; queue <= LargestQueue; queue *= 2)
            {
                medians[queue] = Measure(queue, reader, cancellation);
            }

            double least = medians.Values.Min();
            int knee = medians.First(m => m.Value <= least * Close).Key;
            knees.Add($"{(reader ? "with" : "without")} a reader {(knee == 0 ? "strict is as good" : $"{knee} unmaps")}");
            output.Object(new JsonObject { ["measure"] = "lazy_knee", ["reader"] = reader, ["queue"] = knee });
            foreach ((int queue, double median) in reader ? medians : [])
            {
                WithReader[queue] = median;
            }
        }

        output.Line($"\nA page mapped and unmapped, nanoseconds for both, {options.Rounds} rounds; a queue of 0 is strict:\n\n{_table}\n");
        output.Line($"The knee, from where on a longer queue gains less than a tenth: {string.Join(", ", knees)}.");
    }

    private double Measure(int queue, bool reader, CancellationToken cancellation)
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "bench");
        IommuGroup group = iommu.AddFunction(new ZpciHostFunction(ZpciFunctions.Create(1, 1)));
        ProcessMemory memory = ProcessMemory.Allocate(ZpciIoTable.PageSize);
        double[] rounds = new double[options.Rounds];
        int operations = Math.Max(2 * queue, LeastOperations);
        long flushes;
        using (ZpciDmaSpace space = iommu.OpenDmaSpace(group, new ZpciDmaOptions { Lazy = queue != 0, QueueSize = Math.Max(queue, 1), Timeout = TimeSpan.FromMinutes(1) }))
        {
            ulong kept = space.Map(memory, 0, ZpciIoTable.PageSize, DmaAccess.ReadWrite);
            using BenchReader? other = reader ? new BenchReader(group, kept) : null;
            for (int round = -1; round < options.Rounds; round++)
            {
                cancellation.ThrowIfCancellationRequested();
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < operations; i++)
                {
                    space.Unmap(space.Map(memory, 0, ZpciIoTable.PageSize, DmaAccess.ReadWrite), ZpciIoTable.PageSize);
                }

                rounds[Math.Max(round, 0)] = Stopwatch.GetElapsedTime(start).TotalNanoseconds / operations;
            }

            flushes = space.Flushes;
        }

        memory.Release();
        double median = BenchSummary.MedianOf(rounds);
        _table.Add(
            queue.ToString(CultureInfo.InvariantCulture), reader ? "yes" : "no", Text(rounds.Min()), Text(median), flushes.ToString(CultureInfo.InvariantCulture));
        output.Object(new JsonObject
        {
            ["measure"] = "unmap",
            ["queue"] = queue,
            ["lazy"] = queue != 0,
            ["reader"] = reader,
            ["rounds"] = options.Rounds,
            ["best_ns"] = Math.Round(rounds.Min(), 1),
            ["median_ns"] = Math.Round(median, 1),
            ["flushes"] = flushes,
        });
        return median;
    }

    private static string Text(double value) => value.ToString("F0", CultureInfo.InvariantCulture);
}
