using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>
/// What keeping the books of mappings costs: one map and one unmap in a type1 container in this process, at more and more mappings, with nobody
/// translating and with a thread that does nothing else. Then what pinning costs.
/// </summary>
internal sealed class MapsBench(MapsBenchOptions options, Output output)
{
    private const ulong Page = 4096;
    private const ulong Stride = 4 * Page;
    private const int LargestBatch = 64;
    private const int PinnedPages = VfioDevice.MostPinnedPages;
    private static readonly int[] Counts = [1, 64, 1024, 16384, 65535];

    private readonly TextTable _table = new(
        [new("MAPS", true), new("READER"), new("MAP BEST", true), new("MEDIAN", true), new("MEAN", true), new("UNMAP BEST", true), new("MEDIAN", true), new("MEAN", true)]);

    public int Run(CancellationToken cancellation)
    {
        foreach (bool reader in new[] { false, true })
        {
            foreach (int count in Counts)
            {
                output.Note($"{count} mappings, {(reader ? "one" : "no")} reader");
                Measure(count, reader, cancellation);
            }
        }

        MeasurePins(cancellation);
        return ExitStatus.Done;
    }

    private void Measure(int count, bool reader, CancellationToken cancellation)
    {
        using var rig = new MapsBenchRig();
        for (int i = 0; i < count; i++)
        {
            rig.Map(Address(i));
        }

        // Mappings are taken away and put back a batch at a time, in random order.
        int batch = Math.Min(count, LargestBatch);
        int batches = Math.Max(1, options.Operations / batch);
        var random = new Random(1);
        int[] order = [.. Enumerable.Range(0, count)];
        using BenchReader? other = reader ? new BenchReader(rig.Group, Address(0)) : null;
        var maps = new BatchTimes(options.Rounds, batches, batch);
        var unmaps = new BatchTimes(options.Rounds, batches, batch);

        // The first round warms up.
        for (int round = -1; round < options.Rounds; round++)
        {
            for (int b = 0; b < batches; b++)
            {
                cancellation.ThrowIfCancellationRequested();
                for (int i = 0; i < batch; i++)
                {
                    int pick = random.Next(i, count);
                    (order[i], order[pick]) = (order[pick], order[i]);
                }

                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < batch; i++)
                {
                    rig.Unmap(Address(order[i]));
                }

                long middle = Stopwatch.GetTimestamp();
                for (int i = 0; i < batch; i++)
                {
                    rig.Map(Address(order[i]));
                }

                maps.Add(b, Stopwatch.GetTimestamp() - middle);
                unmaps.Add(b, middle - start);
            }

            if (round >= 0)
            {
                maps.End(round);
                unmaps.End(round);
            }
        }

        Report("map", "maps", count, reader, maps);
        Report("unmap", "maps", count, reader, unmaps);
        _table.Add(
            count.ToString(CultureInfo.InvariantCulture), reader ? "yes" : "no", Text(maps.Best), Text(maps.Median), Text(maps.Mean), Text(unmaps.Best), Text(unmaps.Median), Text(unmaps.Mean));
    }

    private void MeasurePins(CancellationToken cancellation)
    {
        using var rig = new MapsBenchRig();
        rig.MapLarge(PinnedPages * Page);
        var pages = new PinnedPage[PinnedPages];
        int operations = Math.Max(1, options.Operations / LargestBatch);
        var pins = new BatchTimes(options.Rounds, operations, 1);
        var unpins = new BatchTimes(options.Rounds, operations, 1);
        for (int round = -1; round < options.Rounds; round++)
        {
            for (int i = 0; i < operations; i++)
            {
                cancellation.ThrowIfCancellationRequested();
                long start = Stopwatch.GetTimestamp();
                Errno errno = rig.Device.PinPages(0, PinnedPages, DmaAccess.ReadWrite, pages);
                long middle = Stopwatch.GetTimestamp();
                rig.Device.UnpinPages(0, PinnedPages);
                unpins.Add(i, Stopwatch.GetTimestamp() - middle);
                pins.Add(i, middle - start);
                if (errno != Errno.None)
                {
                    throw new VfioException(errno, "bench maps", "pages could not be pinned");
                }
            }

            if (round >= 0)
            {
                pins.End(round);
                unpins.End(round);
            }
        }

        Report("pin", "pages", PinnedPages, false, pins);
        Report("unpin", "pages", PinnedPages, false, unpins);
        output.Line($"\n{_table}\n");
        output.Line($"Pinning {PinnedPages} pages in one call: {Text(pins.Median)} ns, unpinning them: {Text(unpins.Median)} ns.");
        output.Line($"Nanoseconds for an operation. A round counts with the median of its batches; best and median are over {options.Rounds} rounds. The mean has in it");
        output.Line("what else the machine did. With a reader, unmap waits until no access is in progress.");
    }

    private void Report(string measure, string what, int count, bool reader, BatchTimes times) => output.Object(new JsonObject
    {
        ["measure"] = measure,
        [what] = count,
        ["reader"] = reader,
        ["rounds"] = options.Rounds,
        ["best_ns"] = Math.Round(times.Best, 1),
        ["median_ns"] = Math.Round(times.Median, 1),
        ["mean_ns"] = Math.Round(times.Mean, 1),
    });

    private static ulong Address(int index) => (ulong)index * Stride;

    private static string Text(double value) => value.ToString("F0", CultureInfo.InvariantCulture);
}
