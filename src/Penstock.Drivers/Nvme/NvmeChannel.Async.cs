using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <content>Commands that nobody waits for on a thread.</content>
internal sealed partial class NvmeChannel
{
    /// <summary>A command whose end is told later.</summary>
    /// <param name="command">The command, without its data pointers.</param>
    /// <param name="outgoing">What the device reads; not touched any more once the call returns its first await.</param>
    /// <param name="incoming">Where the device's data goes.</param>
    /// <param name="what">The command, for people.</param>
    /// <param name="cancellation">Gives up waiting.</param>
    internal async ValueTask<NvmeStatus> RunAsync(
        NvmeCommand command, ReadOnlyMemory<byte> outgoing, Memory<byte> incoming, string what, CancellationToken cancellation)
    {
        await WaitForRoomAsync(cancellation).ConfigureAwait(false);
        var operation = new NvmeOperation(incoming, what);
        Start(operation, command, outgoing);
        CancellationTokenRegistration registration =
            cancellation.UnsafeRegister(static (o, token) => ((NvmeOperation)o!).Cancel(token), operation);
        await using (registration.ConfigureAwait(false))
        {
            return await operation.Task.ConfigureAwait(false);
        }
    }

    private async ValueTask WaitForRoomAsync(CancellationToken cancellation)
    {
        cancellation.ThrowIfCancellationRequested();
        if (_room.Wait(0, CancellationToken.None))
        {
            return;
        }

        CancellationToken stop;
        lock (_gate)
        {
            ThrowIfStopped();
            stop = _stop.Token;
        }

        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellation, stop);
        try
        {
            await _room.WaitAsync(either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            cancellation.ThrowIfCancellationRequested();
            Throw(Volatile.Read(ref _lastStopped));
            throw;
        }
    }

    private void Start(NvmeOperation operation, NvmeCommand command, ReadOnlyMemory<byte> outgoing)
    {
        bool submitted = false;
        NvmeCall call = TakeCall(operation);
        try
        {
            outgoing.Span.CopyTo(call.Buffer);
            Submit(call, ref command, Math.Max(outgoing.Length, operation.Incoming.Length));
            submitted = true;
            _driver.Submitted();
        }
        catch (Exception e)
        {
            // Stopped in between, or the caller's memory is not there.
            if (operation.TryClaim())
            {
                operation.TrySetException(e is VfioException stopped ? new VfioException(stopped.Errno, operation.What, stopped.Why) : e);
            }
        }
        finally
        {
            lock (_gate)
            {
                if (!submitted)
                {
                    Free(call);
                }

                _users--;
            }

            if (!submitted)
            {
                _room.Release();
            }
        }
    }

    /// <summary>The device has done with a call: its data goes to who waits, if anybody still does.</summary>
    private void Finish(NvmeCall call)
    {
        NvmeOperation operation = call.Operation!;
        if (operation.TryClaim())
        {
            try
            {
                if ((call.Status & NvmeStatus.CodeMask) == NvmeStatus.Success)
                {
                    call.Buffer[..operation.Incoming.Length].CopyTo(operation.Incoming.Span);
                }

                operation.TrySetResult(call.Status);
            }
            catch (Exception e)
            {
                // The caller's memory has gone meanwhile; others wait for this thread.
                operation.TrySetException(e);
            }
        }

        lock (_gate)
        {
            Free(call);
        }

        _room.Release();
    }
}
