using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Text.Json.Nodes;
using Penstock.Devices;
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

    private readonly TextTable _controller = new(
        [new("CONTROLLER"), new("DEPTH", true), new("DOORBELLS", true), new("FETCH", true), new("DATA", true), new("COMPLETE", true), new("INTERRUPT", true), new("OTHER", true), new("IDLE", true), new("WORKERS", true)]);

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
            // Ctrl-C ends the server, too, and then the driver fails for that.
            cancellation.ThrowIfCancellationRequested();
            ExceptionDispatchInfo.Throw(failure);
        }

        output.Line($"\n{_table}\n\n{_controller}\n");
        output.Line($"Doorbells: {(rig.Driver.HasMappedDoorbells ? "mapped" : rig.Driver.HasShadowDoorbells ? "shadows in memory" : "a message for each")}.");
        output.Line($"4 KiB at random, driver on processor {options.HostProcessor}, server on processor {options.ServerProcessor}. IOPS: best and median of {options.Rounds} rounds; latencies over all rounds, in");
        output.Line("nanoseconds. SUBMIT, TAKE and WAIT: where the driver's time goes, for each command in the median round; WAIT has the server's work in it.");
        output.Line("CONTROLLER: where the time of the server's thread goes, sampled, for each command in the same round; WORKERS: time of other threads of it.");
        return ExitStatus.Done;
    }

    private static string Text(double value) => value.ToString("F0", CultureInfo.InvariantCulture);

    private void Measure(NvmeBenchRig rig, CancellationToken cancellation)
    {
        var loop = new NvmeBenchLoop(rig);
        var latencies = new LatencyHistogram();
        foreach (NvmeIoOpcode opcode in new[] { NvmeIoOpcode.Read, NvmeIoOpcode.Write })
        {
            foreach (int depth in s_depths)
            {
                output.Note($"{opcode}, {depth} under way");
                loop.Run(opcode, depth, options.Operations, latencies, cancellation);
                latencies.Clear();
                var rounds = new List<NvmeBenchRound>();
                for (int i = 0; i < options.Rounds; i++)
                {
                    rounds.Add(loop.Run(opcode, depth, options.Operations, latencies, cancellation));
                }

                Report($"{opcode}".ToLowerInvariant(), depth, rig.Driver.HasMappedDoorbells, rounds, latencies);
            }
        }
    }

    private void Report(string measure, int depth, bool mapped, List<NvmeBenchRound> rounds, LatencyHistogram latencies)
    {
        NvmeBenchRound[] sorted = [.. rounds.OrderBy(r => r.PerSecond)];
        double best = sorted[^1].PerSecond;
        double median = BenchSummary.MedianOf([.. sorted.Select(r => r.PerSecond)]);
        NvmeBenchRound middle = sorted[sorted.Length / 2];
        double bytes = rounds.Max(r => r.Allocated);
        double At(double share) => latencies.At(share);
        NvmeTimesLog controller = middle.Controller;
        double Each(ulong nanoseconds) => nanoseconds / Math.Max(1.0, controller.Commands);
        double workers = controller.Workers / Math.Max(1.0, controller.WorkerCommands);
        _table.Add(
            measure, depth.ToString(CultureInfo.InvariantCulture), Text(best), Text(median), Text(At(0.5)), Text(At(0.9)), Text(At(0.99)), Text(At(0.999)), Text(latencies.Longest),
            Text(middle.Submitting), Text(middle.Taking), Text(middle.Waiting), bytes.ToString("F2", CultureInfo.InvariantCulture));
        _controller.Add(
            measure, depth.ToString(CultureInfo.InvariantCulture), Text(Each(controller.Doorbells)), Text(Each(controller.Fetch)), Text(Each(controller.Data)),
            Text(Each(controller.Complete)), Text(Each(controller.Interrupt)), Text(Each(controller.Other)), Text(Each(controller.Idle)), Text(workers));
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
            ["max_ns"] = Math.Round(latencies.Longest),
            ["submit_ns"] = Math.Round(middle.Submitting, 1),
            ["take_ns"] = Math.Round(middle.Taking, 1),
            ["wait_ns"] = Math.Round(middle.Waiting, 1),
            ["allocated_bytes"] = Math.Round(bytes, 3),
            ["controller_samples"] = controller.Commands,
            ["controller_doorbells_ns"] = Math.Round(Each(controller.Doorbells), 1),
            ["controller_fetch_ns"] = Math.Round(Each(controller.Fetch), 1),
            ["controller_data_ns"] = Math.Round(Each(controller.Data), 1),
            ["controller_complete_ns"] = Math.Round(Each(controller.Complete), 1),
            ["controller_interrupt_ns"] = Math.Round(Each(controller.Interrupt), 1),
            ["controller_other_ns"] = Math.Round(Each(controller.Other), 1),
            ["controller_idle_ns"] = Math.Round(Each(controller.Idle), 1),
            ["controller_workers_ns"] = Math.Round(workers, 1),
        });
    }
}
