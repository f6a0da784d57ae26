using Penstock.Specs.Nvme;

namespace Penstock.Drivers;

/// <summary>An asynchronous command. Whoever claims it first, its completion, its cancellation or the end of the controller, decides its result.</summary>
internal sealed class NvmeOperation(Memory<byte> incoming, string what) : TaskCompletionSource<NvmeStatus>(TaskCreationOptions.RunContinuationsAsynchronously)
{
    private int _claimed;

    internal Memory<byte> Incoming => incoming;

    internal string What => what;

    internal bool TryClaim() => Interlocked.Exchange(ref _claimed, 1) == 0;

    /// <summary>The command goes on in the device, and nobody waits for it: its data stays in the pool.</summary>
    internal void Cancel(CancellationToken token)
    {
        if (TryClaim())
        {
            TrySetCanceled(token);
        }
    }
}
