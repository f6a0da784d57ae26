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
        await _room.WaitAsync(cancellation).ConfigureAwait(false);
        var operation = new NvmeOperation(incoming, what);
        Start(operation, command, outgoing);
        CancellationTokenRegistration registration =
            cancellation.UnsafeRegister(static (o, token) => ((NvmeOperation)o!).Cancel(token), operation);
        await using (registration.ConfigureAwait(false))
        {
            return await operation.Task.ConfigureAwait(false);
        }
    }

    private void Start(NvmeOperation operation, NvmeCommand command, ReadOnlyMemory<byte> outgoing)
    {
        NvmeSlot slot;
        lock (_gate)
        {
            if (_stopped is not null)
            {
                _room.Release();
                ThrowIfStopped();
            }

            _users++;
            _ring.TryTakeSlot(out int index);
            slot = _slots[index];
            slot.Take();
            slot.Operation = operation;
        }

        try
        {
            outgoing.Span.CopyTo(slot.Buffer);
            Submit(slot, ref command, Math.Max(outgoing.Length, operation.Incoming.Length));
            _driver.Submitted();
        }
        catch (VfioException e)
        {
            // Stopped in between: the slot goes back with the restart.
            if (operation.TryClaim())
            {
                operation.TrySetException(new VfioException(e.Errno, operation.What, e.Why));
            }
        }
        finally
        {
            lock (_gate)
            {
                _users--;
            }
        }
    }

    /// <summary>The device has done with a slot: its data goes to who waits, if anybody still does.</summary>
    private void Finish(NvmeSlot slot)
    {
        NvmeOperation operation = slot.Operation!;
        if (operation.TryClaim())
        {
            if ((slot.Status & NvmeStatus.CodeMask) == NvmeStatus.Success)
            {
                slot.Buffer[..operation.Incoming.Length].CopyTo(operation.Incoming.Span);
            }

            operation.TrySetResult(slot.Status);
        }

        lock (_gate)
        {
            Free(slot);
        }

        _room.Release();
    }
}
