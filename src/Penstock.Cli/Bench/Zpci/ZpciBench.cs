using System.Runtime.ExceptionServices;
using Penstock.Interop;

namespace Penstock.Cli.Bench;

/// <summary>
/// zPCI: walks of I/O tables beside a walk in C, RPCIT in all modes, strict against lazy unmaps, exits of loads, interruptions. What needs no second
/// thread stays on one processor.
/// </summary>
internal sealed class ZpciBench(ZpciBenchOptions options, Output output)
{
    public int Run(CancellationToken cancellation)
    {
        if (Wants(ZpciBenchOptions.Walk))
        {
            OnThread(pinned: true, () => new ZpciWalkBench(options, output).Run(cancellation));
        }

        IReadOnlyDictionary<string, double> pages = new Dictionary<string, double>();
        if (Wants(ZpciBenchOptions.Rpcit))
        {
            using var rpcit = new ZpciRpcitBench(options, output);
            OnThread(pinned: true, () => rpcit.Run(cancellation));

            // A thread that translates has to have a processor of its own, and threads stay where their maker is.
            OnThread(pinned: false, () => rpcit.RunWithReader(cancellation));
            pages = rpcit.Pages;
        }

        var unmap = new ZpciUnmapBench(options, output);
        if (Wants(ZpciBenchOptions.Unmap))
        {
            OnThread(pinned: false, () => unmap.Run(cancellation));
        }

        if (Wants(ZpciBenchOptions.Load))
        {
            OnThread(pinned: true, () => new ZpciLoadBench(options, output).Run(cancellation));
        }

        if (Wants(ZpciBenchOptions.Interrupts))
        {
            // Idle processors are woken by timers, on threads of their own.
            OnThread(pinned: false, () => new ZpciInterruptsBench(options, output).Run(cancellation));
        }

        if (options.Plot is { } path)
        {
            File.WriteAllText(path, ZpciPlot.Draw(pages, unmap.WithReader));
            output.Note($"the plot is in {path}");
        }

        return ExitStatus.Done;
    }

    private bool Wants(string part) => options.Measures.Contains(part);

    private void OnThread(bool pinned, Action measure)
    {
        Exception? failure = null;
        var thread = new Thread(() =>
        {
            try
            {
                if (pinned)
                {
                    ProcessPlacement.PinCurrentThread(options.Processor);
                }

                measure();
            }
            catch (Exception e)
            {
                failure = e;
            }
        });
        thread.Start();
        thread.Join();
        if (failure is not null)
        {
            ExceptionDispatchInfo.Throw(failure);
        }
    }
}
