using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>Interrupts: the server signals the users' eventfds itself. Of two of them this side keeps one, too.</content>
public sealed partial class RemoteVfioDevice
{
    private CountedEvent? _error;
    private CountedEvent? _request;

    /// <inheritdoc/>
    protected override void SetIrqs(in VfioIrqRequest request)
    {
        VfioUserClient client = Facts.Client;
        if (request.Index != VfioIrqs.Intx && (request.Flags & VfioIrqSetFlags.ActionTrigger) == 0 && (Facts.Info.Flags & VfioDeviceFlags.Pci) != 0)
        {
            // A PCI device has no other action; on the wire other errors may come first.
            throw new VfioException(Errno.ENOTTY, $"SET_IRQS of {Name}, index {request.Index}", "the interrupt can only be triggered");
        }

        if ((request.Flags & VfioIrqSetFlags.DataEventfd) == 0)
        {
            ReadOnlySpan<byte> bools = (request.Flags & VfioIrqSetFlags.DataBool) != 0 ? request.Bools[..(int)request.Count] : [];
            client.SetIrqs(request.Index, request.Flags, request.Start, request.Count, bools, []);
            if (request.Count == 0 && (request.Flags & VfioIrqSetFlags.ActionTrigger) != 0)
            {
                Keep(request.Index, null);
            }

            return;
        }

        var events = new EventDescriptor?[request.Count];
        int[] descriptors = new int[request.Count];
        try
        {
            for (int i = 0; i < events.Length; i++)
            {
                events[i] = request.TakeEvent(i, _host.Ledger);
                descriptors[i] = events[i]?.Descriptor.Value ?? -1;
            }

            client.SetIrqs(request.Index, request.Flags, request.Start, request.Count, [], descriptors);
            if ((request.Flags & VfioIrqSetFlags.ActionTrigger) != 0 && request.Index is VfioIrqs.Err or VfioIrqs.Req && events.Length == 1)
            {
                Keep(request.Index, events[0]);
                events[0] = null;
            }
        }
        finally
        {
            Array.ForEach(events, static e => e?.Dispose());
        }
    }

    /// <inheritdoc/>
    protected override void Request(uint round)
    {
        if (Volatile.Read(ref _request)?.TrySignal() != true && round == 0)
        {
            _options.Log?.Invoke($"{Name}: the host wants the device back, and its user listens to no request");
        }
    }

    /// <summary>The server is gone: whoever listens for errors is told.</summary>
    private void ServerLost(string why) => Volatile.Read(ref _error)?.TrySignal();

    private void Keep(uint index, EventDescriptor? given)
    {
        CountedEvent? kept = given is null ? null : new CountedEvent(Shared(given));
        switch (index)
        {
            case VfioIrqs.Err:
                Interlocked.Exchange(ref _error, kept)?.Retire();
                break;
            case VfioIrqs.Req:
                Interlocked.Exchange(ref _request, kept)?.Retire();
                break;
        }
    }

    /// <summary>The server has it, too, and its flags: it is signalled with the same care as one that came from a peer.</summary>
    private EventDescriptor Shared(EventDescriptor given)
    {
        OwnedDescriptor? own = null;
        try
        {
            own = given.Descriptor.Duplicate(_host.Ledger);
            EventDescriptor shared = EventDescriptor.Adopt(own);
            given.Dispose();
            return shared;
        }
        catch (SystemCallException)
        {
            // Without a descriptor to spare the one that is there has to do.
            own?.Dispose();
            return given;
        }
    }

    private void ForgetEvents()
    {
        Keep(VfioIrqs.Err, null);
        Keep(VfioIrqs.Req, null);
    }
}
