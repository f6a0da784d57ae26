using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>While a device is stopped for migration: no DMA starts; what is awaited waits.</content>
public sealed partial class DmaPort
{
    private volatile TaskCompletionSource? _resumed;

    /// <summary>
    /// Lets no DMA start until <see cref="Resume"/>; when this returns none is in progress, but for messages that were on their way.
    /// For the owner of the function. Suspending twice is as once.
    /// </summary>
    public void Suspend()
    {
        _resumed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        (_group ?? _device!.Group)?.Drain();
    }

    /// <summary>Ends <see cref="Suspend"/>.</summary>
    public void Resume()
    {
        TaskCompletionSource? resumed = _resumed;
        _resumed = null;
        resumed?.SetResult();
    }

    private async ValueTask<Errno> ReadLater(ulong iova, Memory<byte> destination, CancellationToken cancellation) =>
        await WaitUntilResumed(cancellation).ConfigureAwait(false)
            ? await ReadAsync(iova, destination, cancellation).ConfigureAwait(false)
            : Errno.ECANCELED;

    private async ValueTask<Errno> WriteLater(ulong iova, ReadOnlyMemory<byte> source, CancellationToken cancellation) =>
        await WaitUntilResumed(cancellation).ConfigureAwait(false)
            ? await WriteAsync(iova, source, cancellation).ConfigureAwait(false)
            : Errno.ECANCELED;

    private async ValueTask<bool> WaitUntilResumed(CancellationToken cancellation)
    {
        try
        {
            await ((_function ?? this)._resumed?.Task ?? Task.CompletedTask).WaitAsync(cancellation).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }
}
