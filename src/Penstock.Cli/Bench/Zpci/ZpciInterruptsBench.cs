using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using Penstock.Interop;

namespace Penstock.Cli.Bench;

/// <summary>
/// What an interruption of a zPCI function costs whoever sends it: by eventfd, by firmware into the running guest's memory, through the host, and by way of
/// the interrupt bypass; and how often the host was interrupted for it.
/// </summary>
internal sealed class ZpciInterruptsBench(ZpciBenchOptions options, Output output)
{
    private const int Share = 10;
    private const int Batch = 64;

    private readonly TextTable _table = new([new("WAY"), new("BEST", true), new("MEDIAN", true), new("MEAN", true), new("HOST INTERRUPTS", true), new("BYTES", true)]);

    public void Run(CancellationToken cancellation)
    {
        using (var firmware = new ZpciInterruptsRig(byHost: false))
        {
            Time("eventfd", firmware, () => firmware.Event.Signal(), static () => { }, cancellation);
            Time("firmware_summary_set", firmware, () => firmware.Function.Signal(0), static () => { }, cancellation);
            Time("guest_alone", firmware, static () => { }, firmware.Take, cancellation);
            Time("firmware", firmware, () => firmware.Function.Signal(0), firmware.Take, cancellation);
            Time("bypass_firmware", firmware, () => firmware.Bypass(), firmware.Take, cancellation);
        }

        using (var host = new ZpciInterruptsRig(byHost: true))
        {
            Time("host", host, () => host.Function.Signal(0), host.Take, cancellation);
            Time("bypass_host", host, () => host.Bypass(), host.Take, cancellation);
        }

        output.Line($"\nInterruptions of a function:\n\n{_table}\n");
        output.Line($"Nanoseconds for an interruption, best and median of {options.Rounds} rounds. All but the first two have in them what a guest does with one,");
        output.Line("which stands in the third line alone. Host interrupts and allocated bytes are for one interruption.");
    }

    private void Time(string way, ZpciInterruptsRig rig, Action send, Action take, CancellationToken cancellation)
    {
        int batches = Math.Max(1, options.Operations / Share / Batch);
        var times = new BatchTimes(options.Rounds, batches, Batch);
        long interrupted = 0;
        long allocated = 0;

        // The first round warms up.
        for (int round = -1; round < options.Rounds; round++)
        {
            if (round == 0)
            {
                interrupted = rig.HostInterrupts;
                allocated = GC.GetAllocatedBytesForCurrentThread();
            }

            for (int b = 0; b < batches; b++)
            {
                cancellation.ThrowIfCancellationRequested();
                long start = Stopwatch.GetTimestamp();
                for (int i = 0; i < Batch; i++)
                {
                    send();
                    take();
                }

                times.Add(b, Stopwatch.GetTimestamp() - start);
            }

            if (round >= 0)
            {
                times.End(round);
            }
        }

        double sent = (double)options.Rounds * batches * Batch;
        allocated = GC.GetAllocatedBytesForCurrentThread() - allocated;
        interrupted = rig.HostInterrupts - interrupted;
        output.Object(new JsonObject
        {
            ["measure"] = way,
            ["rounds"] = options.Rounds,
            ["best_ns"] = Math.Round(times.Best, 1),
            ["median_ns"] = Math.Round(times.Median, 1),
            ["mean_ns"] = Math.Round(times.Mean, 1),
            ["host_interrupts"] = Math.Round(interrupted / sent, 3),
            ["allocated_bytes"] = Math.Round(allocated / sent, 3),
        });
        _table.Add(way, Text(times.Best), Text(times.Median), Text(times.Mean), (interrupted / sent).ToString("F2", CultureInfo.InvariantCulture), Text(allocated / sent));
        rig.Event.TryDrain(out _);
    }

    private static string Text(double value) => value.ToString("F1", CultureInfo.InvariantCulture);
}
