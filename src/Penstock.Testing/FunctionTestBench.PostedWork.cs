using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Testing;

/// <content>The work that the model posts to its strand.</content>
public sealed partial class FunctionTestBench
{
    private const int MostRounds = 1000;

    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(10);

    /// <summary>
    /// Waits until the work that the model posted is done, and what that posted in turn. Work that is kept back, as by migration, is left
    /// alone, and a model that posts without an end is waited for a while only. <see cref="Dispose"/> does this too, since a device that goes
    /// drops what has not begun. Not to be called from posted work.
    /// </summary>
    /// <exception cref="TestBenchException">A piece of posted work did not end in the bench's patience.</exception>
    public void Settle()
    {
        for (int i = 0; i < MostRounds && _device.PostedWork.IsWorking; i++)
        {
            // Posted work is done in order.
            var reached = new TaskCompletionSource();
            _device.PostedWork.Post(() => reached.TrySetResult());
            WaitUntil(() => reached.Task.Wait(Look) || !_device.PostedWork.IsWorking, "posted work of the model does not end");
        }
    }

    private void TrySettle(List<string> found)
    {
        try
        {
            Settle();
        }
        catch (TestBenchException hangs)
        {
            found.Add(hangs.Message);
        }
    }

    /// <summary>The slot that the model is in.</summary>
    private sealed class Slot(string address, IPciFunction function, IommuGroup group, Action<string> log)
        : VfioPciCoreDevice(address, function, group, log)
    {
        internal Strand PostedWork => Strand;
    }
}
