using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>
/// While a device is stopped for migration: no DMA starts; what is awaited waits. A reset cancels what is under way and what waits.
/// </content>
public sealed partial class DmaPort
{
    private volatile TaskCompletionSource? _resumed;
    private int _epoch;

    /// <summary>Which of the function's lives it is; each reset begins another one.</summary>
    internal int Epoch => Volatile.Read(ref (_function ?? this)._epoch);

    /// <summary>
    /// Lets no DMA start until <see cref="Resume"/>; when this returns none is in progress, but for messages that were on their way.
    /// For the owner of the function. Suspending twice is as once.
    /// </summary>
    public void Suspend()
    {
        _resumed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Judge();
        Drain();
    }

    /// <summary>Ends <see cref="Suspend"/>.</summary>
    public void Resume()
    {
        TaskCompletionSource? resumed = _resumed;
        _resumed = null;
        Judge();
        resumed?.SetResult();
    }

    /// <summary>
    /// Ends every transfer that has begun with ECANCELED, also those that wait for <see cref="Resume"/>, because the function is reset; when
    /// this returns none touches memory, and no message of theirs is sent. For the owner of the function.
    /// </summary>
    public void CancelTransfers()
    {
        Interlocked.Increment(ref _epoch);
        if (_resumed is { } waiting)
        {
            _resumed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            waiting.SetResult();
        }

        Drain();
    }

    private void Drain()
    {
        (_group ?? _device!.Group)?.Drain();
        if (Access is { } access)
        {
            // Copies are made with it held, after a look at this port.
            lock (access.Context.Gate)
            {
            }
        }
    }

    private async ValueTask<Errno> CopyLater(
        DmaTransfer transfer, ulong iova, Memory<byte> data, DmaAccess access, CancellationToken cancellation)
    {
        // The task first: a reset raises the epoch before it completes the task and puts another one there.
        Task resumed = (_function ?? this)._resumed?.Task ?? Task.CompletedTask;
        try
        {
            if (!transfer.IsCanceled)
            {
                await resumed.WaitAsync(cancellation).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            return Errno.ECANCELED;
        }

        return await CopyAsync(transfer, iova, data, access, cancellation).ConfigureAwait(false);
    }
}
