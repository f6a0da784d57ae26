using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Text.Json.Nodes;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Cli.Bench;

/// <summary>
/// Random reads and writes of 4 KiB on an NVMe controller that another process serves and that polls: one driver thread here, on another processor,
/// which polls too, with one command and with 32 under way. Another program's controller may be measured in turn, round after round.
/// </summary>
internal sealed class NvmeBench(NvmeBenchOptions options, Output output)
{
    private static readonly int[] Depths = [1, NvmeBenchRig.MostDepth];

    private readonly TextTable _table = new(
        [new("MEASURE"), new("DEPTH", true), new("IOPS BEST", true), new("MEDIAN", true), new("P50", true), new("P90", true), new("P99", true), new("P99.9", true), new("MAX", true), new("SUBMIT", true), new("TAKE", true), new("WAIT", true), new("BYTES", true)]);

    private readonly TextTable _controller = new(
        [new("CONTROLLER"), new("DEPTH", true), new("DOORBELLS", true), new("FETCH", true), new("DATA", true), new("COMPLETE", true), new("INTERRUPT", true), new("OTHER", true), new("IDLE", true), new("WORKERS", true)]);

    public int Run(CancellationToken cancellation)
    {
        if (options.Peer is string program && !File.Exists(program))
        {
            throw new UsageException($"--peer: there is no program '{program}'; name one that serves an NVMe controller on the vfio-user socket that is its only argument");
        }

        using NvmeBenchRig rig = NvmeBenchRig.Start(options);
        using NvmeBenchRig? peer = options.Peer is string other ? StartPeer(rig, other) : null;

        // On a thread of its own, so that no other one is moved.
        Exception? failure = null;
        var driver = new Thread(() =>
        {
            try
            {
                ProcessPlacement.PinCurrentThread(options.HostProcessor);
                Measure(rig, peer, cancellation);
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
        if (options.Peer is not null)
        {
            output.Line($"(peer): {options.Peer}, in turn with Penstock's, round after round; the one that is not measured stands still.");
        }

        return ExitStatus.Done;
    }

    private static string Text(double value) => value.ToString("F0", CultureInfo.InvariantCulture);

    private NvmeBenchRig StartPeer(NvmeBenchRig ours, string program)
    {
        ours.Pause();
        NvmeBenchRig peer = NvmeBenchRig.StartPeer(options, program);
        peer.Pause();
        return peer;
    }

    private void Measure(NvmeBenchRig rig, NvmeBenchRig? peer, CancellationToken cancellation)
    {
        NvmeBenchServer[] servers = peer is null ? [new("penstock", rig, inTurn: false)] : [new("penstock", rig, inTurn: true), new("peer", peer, inTurn: true)];
        foreach (NvmeIoOpcode opcode in new[] { NvmeIoOpcode.Read, NvmeIoOpcode.Write })
        {
            foreach (int depth in Depths)
            {
                output.Note($"{opcode}, {depth} under way");
                for (int i = 0; i <= options.Rounds; i++)
                {
                    foreach (NvmeBenchServer server in servers)
                    {
                        server.Run(opcode, depth, options.Operations, isCounted: i != 0, cancellation);
                    }
                }

                foreach (NvmeBenchServer server in servers)
                {
                    Report($"{opcode}".ToLowerInvariant(), depth, server, server == servers[0] && peer is not null ? servers[1] : null);
                }

                Array.ForEach(servers, static server => server.Forget());
            }
        }
    }

    private void Report(string measure, int depth, NvmeBenchServer server, NvmeBenchServer? beside)
    {
        (List<NvmeBenchRound> rounds, LatencyHistogram latencies) = (server.Rounds, server.Latencies);
        NvmeBenchRound[] sorted = [.. rounds.OrderBy(r => r.PerSecond)];
        double best = server.Best;
        double median = server.Median;
        NvmeBenchRound middle = sorted[sorted.Length / 2];
        double bytes = rounds.Max(r => r.Allocated);
        double At(double share) => latencies.At(share);
        NvmeTimesLog controller = middle.Controller;
        double Each(ulong nanoseconds) => nanoseconds / Math.Max(1.0, controller.Commands);
        double workers = controller.Workers / Math.Max(1.0, controller.WorkerCommands);
        string row = server.Rig.HasTimes ? measure : $"{measure} (peer)";
        _table.Add(
            row, depth.ToString(CultureInfo.InvariantCulture), Text(best), Text(median), Text(At(0.5)), Text(At(0.9)), Text(At(0.99)), Text(At(0.999)), Text(latencies.Longest),
            Text(middle.Submitting), Text(middle.Taking), Text(middle.Waiting), bytes.ToString("F2", CultureInfo.InvariantCulture));
        if (server.Rig.HasTimes)
        {
            _controller.Add(
                measure, depth.ToString(CultureInfo.InvariantCulture), Text(Each(controller.Doorbells)), Text(Each(controller.Fetch)), Text(Each(controller.Data)),
                Text(Each(controller.Complete)), Text(Each(controller.Interrupt)), Text(Each(controller.Other)), Text(Each(controller.Idle)), Text(workers));
        }

        var result = new JsonObject
        {
            ["measure"] = $"nvme_{measure}_4096",
            ["server"] = server.Label,
            ["depth"] = depth,
            ["mapped_doorbells"] = server.Rig.Driver.HasMappedDoorbells,
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
        };
        if (server.Rig.HasTimes)
        {
            result["controller_samples"] = controller.Commands;
            result["controller_doorbells_ns"] = Math.Round(Each(controller.Doorbells), 1);
            result["controller_fetch_ns"] = Math.Round(Each(controller.Fetch), 1);
            result["controller_data_ns"] = Math.Round(Each(controller.Data), 1);
            result["controller_complete_ns"] = Math.Round(Each(controller.Complete), 1);
            result["controller_interrupt_ns"] = Math.Round(Each(controller.Interrupt), 1);
            result["controller_other_ns"] = Math.Round(Each(controller.Other), 1);
            result["controller_idle_ns"] = Math.Round(Each(controller.Idle), 1);
            result["controller_workers_ns"] = Math.Round(workers, 1);
        }

        if (beside is not null)
        {
            result["best_ratio"] = Math.Round(best / beside.Best, 3);
            result["median_ratio"] = Math.Round(median / beside.Median, 3);
        }

        output.Object(result);
    }
}
