using System.Diagnostics;
using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Text.Json.Nodes;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Cli.Bench;

/// <summary>
/// Random reads and writes of 4 KiB on an NVMe controller that another process serves and that polls: one driver thread here, on another processor,
/// which polls too, with one command and with 32 under way.
/// </summary>
internal sealed class NvmeBench(NvmeBenchOptions options, Output output)
{
    private static readonly int[] s_depths = [1, NvmeBenchRig.MostDepth];

    private readonly TextTable _table = new(
        [new("MEASURE"), new("DEPTH", true), new("IOPS BEST", true), new("MEDIAN", true), new("P50", true), new("P90", true), new("P99", true), new("P99.9", true), new("MAX", true), new("SUBMIT", true), new("TAKE", true), new("WAIT", true), new("BYTES", true)]);

    public int Run(CancellationToken cancellation)
    {
        using var rig = new NvmeBenchRig(options);

        // On a thread of its own, so that no other one is moved.
        Exception? failure = null;
        var driver = new Thread(() =>
        {
            try
            {
                ProcessPlacement.PinCurrentThread(options.HostProcessor);
                Measure(rig, cancellation);
            }
            catch (Exception e)
            {
                failure = e;
            }
        })
        {
            Name = "bench driver",
        };
        driver.Start();
        driver.Join();
        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }

        output.Line($"\n{_table}\n");
        output.Line($"Doorbells: {(rig.Driver.HasMappedDoorbells ? "mapped" : rig.Driver.HasShadowDoorbells ? "shadows in memory" : "a message for each")}.");
        output.Line($"4 KiB at random, driver on processor {options.HostProcessor}, server on processor {options.ServerProcessor}. IOPS: best and median of {options.Rounds} rounds; latencies over all rounds, in");
        output.Line("nanoseconds. SUBMIT, TAKE and WAIT: where the driver's time goes, for each command in the median round; WAIT has the server's work in it.");
        return ExitStatus.Done;
    }

    private static double Nanoseconds(long ticks) => ticks * (1e9 / Stopwatch.Frequency);

    private static string Text(double value) => value.ToString("F0", CultureInfo.InvariantCulture);

    private void Measure(NvmeBenchRig rig, CancellationToken cancellation)
    {
        var loop = new NvmeBenchLoop(rig);
        long[] round = new long[options.Operations];
        foreach (NvmeIoOpcode opcode in new[] { NvmeIoOpcode.Read, NvmeIoOpcode.Write })
        {
            foreach (int depth in s_depths)
            {
                output.Note($"{opcode}, {depth} under way");
                loop.Run(opcode, depth, round);
                var rounds = new List<NvmeBenchRound>();
                long[] all = new long[(long)options.Rounds * options.Operations];
                for (int i = 0; i < options.Rounds; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    rounds.Add(loop.Run(opcode, depth, round));
                    round.CopyTo(all, (long)i * options.Operations);
                }

                Array.Sort(all);
                Report($"{opcode}".ToLowerInvariant(), depth, rig.Driver.HasMappedDoorbells, rounds, all);
            }
        }
    }

    private void Report(string measure, int depth, bool mapped, List<NvmeBenchRound> rounds, long[] latencies)
    {
        NvmeBenchRound[] sorted = [.. rounds.OrderBy(r => r.PerSecond)];
        double best = sorted[^1].PerSecond;
        double median = BenchSummary.MedianOf([.. sorted.Select(r => r.PerSecond)]);
        NvmeBenchRound middle = sorted[sorted.Length / 2];
        double bytes = rounds.Max(r => r.Allocated);
        double At(double share) => Nanoseconds(latencies[(long)(share * (latencies.LongLength - 1))]);
        _table.Add(
            measure, depth.ToString(CultureInfo.InvariantCulture), Text(best), Text(median), Text(At(0.5)), Text(At(0.9)), Text(At(0.99)), Text(At(0.999)), Text(At(1)),
            Text(middle.Submitting), Text(middle.Taking), Text(middle.Waiting), bytes.ToString("F2", CultureInfo.InvariantCulture));
        output.Object(new JsonObject
        {
            ["measure"] = $"nvme_{measure}_4096",
            ["depth"] = depth,
            ["mapped_doorbells"] = mapped,
            ["rounds"] = options.Rounds,
            ["best_iops"] = Math.Round(best),
            ["median_iops"] = Math.Round(median),
            ["p50_ns"] = Math.Round(At(0.5)),
            ["p90_ns"] = Math.Round(At(0.9)),
            ["p99_ns"] = Math.Round(At(0.99)),
            ["p999_ns"] = Math.Round(At(0.999)),
            ["max_ns"] = Math.Round(At(1)),
            ["submit_ns"] = Math.Round(middle.Submitting, 1),
            ["take_ns"] = Math.Round(middle.Taking, 1),
            ["wait_ns"] = Math.Round(middle.Waiting, 1),
            ["allocated_bytes"] = Math.Round(bytes, 3),
        });
    }
}
