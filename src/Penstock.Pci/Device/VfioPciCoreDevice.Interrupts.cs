using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

// SET_IRQS, table by table.
public partial class VfioPciCoreDevice
{
    /// <summary>Whether vectors of MSI-X can be added while it is enabled; without it the index says NORESIZE.</summary>
    protected virtual bool HasDynamicMsix => true;

    /// <summary>The function met an uncorrectable error: users that bound the ERR interrupt are told. May be called from any thread.</summary>
    /// <returns>Whether somebody was there to be told.</returns>
    public bool SignalError() => Fire(ref _error);

    /// <inheritdoc/>
    protected override VfioIrqInfo GetIrqInfo(uint index)
    {
        const VfioIrqFlags Fixed = VfioIrqFlags.Eventfd | VfioIrqFlags.NoResize;
        return index switch
        {
            VfioIrqs.Intx => new VfioIrqInfo(
                VfioIrqs.Intx,
                VfioIrqFlags.Eventfd | VfioIrqFlags.Maskable | VfioIrqFlags.Automasked,
                _config.InterruptPin != 0 ? 1u : 0u),
            VfioIrqs.Msi => new VfioIrqInfo(VfioIrqs.Msi, Fixed, (uint)_msiEvents.Count),
            VfioIrqs.Msix => new VfioIrqInfo(
                VfioIrqs.Msix,
                HasDynamicMsix ? VfioIrqFlags.Eventfd : Fixed,
                (uint)_msixEvents.Count),
            VfioIrqs.Err or VfioIrqs.Req => new VfioIrqInfo((int)index, Fixed, 1),
            _ => throw new VfioException(Errno.EINVAL, $"interrupt {index} of {Name}", "the device has no such interrupt"),
        };
    }

    /// <inheritdoc/>
    protected override void SetIrqs(in VfioIrqRequest request)
    {
        using (_strand.EnterRegisterCall())
        {
            VfioIrqSetFlags action = request.Flags & VfioIrqSetFlags.ActionsMask;
            switch (request.Index, action)
            {
                case (VfioIrqs.Intx, VfioIrqSetFlags.ActionTrigger):
                    TriggerIntx(request);
                    break;
                case (VfioIrqs.Intx, VfioIrqSetFlags.ActionMask or VfioIrqSetFlags.ActionUnmask):
                    MaskIntx(request, action == VfioIrqSetFlags.ActionMask);
                    break;
                case (VfioIrqs.Msi or VfioIrqs.Msix, VfioIrqSetFlags.ActionTrigger):
                    TriggerVectors(request);
                    break;
                case (VfioIrqs.Err, VfioIrqSetFlags.ActionTrigger):
                    TriggerSingle(request, ref _error);
                    break;
                case (VfioIrqs.Req, VfioIrqSetFlags.ActionTrigger):
                    TriggerSingle(request, ref _request);
                    break;
                default:
                    throw Refused(Errno.ENOTTY, request, $"the interrupt has no action {action}");
            }
        }
    }

    /// <inheritdoc/>
    protected override void Request(uint round)
    {
        if (!Fire(ref _request) && round == 0)
        {
            Log("the host wants the device back, and its user listens to no request");
        }
    }

    private void TriggerIntx(in VfioIrqRequest request)
    {
        bool active = _active == VfioIrqs.Intx;
        VfioIrqSetFlags data = request.Flags & VfioIrqSetFlags.DataMask;
        if (active && request.Count == 0 && data == VfioIrqSetFlags.DataNone)
        {
            StopInterrupts();
            return;
        }

        if (!active && _active != Idle)
        {
            throw Refused(Errno.EINVAL, request, "another kind of interrupt is enabled; disable it first");
        }

        if (_config.InterruptPin == 0 || request.Start != 0 || request.Count != 1)
        {
            throw Refused(Errno.EINVAL, request, "there is no such pin");
        }

        if (data == VfioIrqSetFlags.DataEventfd)
        {
            BoundEvent? bound = TakeEvent(request, 0);
            if (active)
            {
                _intx.Swap(bound);
            }
            else
            {
                _active = VfioIrqs.Intx;
                _intx.Enable(bound);
            }

            return;
        }

        if (!active)
        {
            throw Refused(Errno.EINVAL, request, "the interrupt is not enabled");
        }

        if (IsNamed(request, 0))
        {
            _intx.Trigger();
        }
    }

    private void MaskIntx(in VfioIrqRequest request, bool mask)
    {
        if (_active != VfioIrqs.Intx || request.Start != 0 || request.Count != 1)
        {
            throw Refused(Errno.EINVAL, request, "the interrupt is not enabled");
        }

        if ((request.Flags & VfioIrqSetFlags.DataMask) == VfioIrqSetFlags.DataEventfd)
        {
            if (mask)
            {
                throw Refused(Errno.ENOTTY, request, "masking by eventfd is not offered; use no data");
            }

            BindUnmask(request);
            return;
        }

        if (!IsNamed(request, 0))
        {
            return;
        }

        if (mask)
        {
            _intx.Mask();
        }
        else
        {
            _intx.Unmask();
        }
    }

    private void TriggerVectors(in VfioIrqRequest request)
    {
        int index = (int)request.Index;
        bool active = _active == index;
        VfioIrqSetFlags data = request.Flags & VfioIrqSetFlags.DataMask;
        VectorEvents events = EventsOf(index);
        if (active && request.Count == 0 && data == VfioIrqSetFlags.DataNone)
        {
            StopInterrupts();
            return;
        }

        if (!active && _active != Idle)
        {
            throw Refused(Errno.EINVAL, request, "another kind of interrupt is enabled; disable it first");
        }

        ulong end = (ulong)request.Start + request.Count;
        if (end > (ulong)events.Count)
        {
            throw Refused(Errno.EINVAL, request, $"the function has {events.Count} vectors");
        }

        if (data == VfioIrqSetFlags.DataEventfd)
        {
            if (!active && end == 0)
            {
                throw Refused(Errno.ERANGE, request, "no vector is named");
            }

            BindVectors(request, active);
            return;
        }

        if (!active)
        {
            throw Refused(Errno.EINVAL, request, "the interrupt is not enabled");
        }

        for (uint i = 0; i < request.Count; i++)
        {
            if (IsNamed(request, (int)i))
            {
                events.FireBySoftware((int)(request.Start + i));
            }
        }
    }

    private void BindVectors(in VfioIrqRequest request, bool active)
    {
        int index = (int)request.Index;
        int start = (int)request.Start;
        if (!active)
        {
            StartVectors(index, start + (int)request.Count);
        }

        VectorEvents events = EventsOf(index);
        for (int i = 0; i < request.Count; i++)
        {
            try
            {
                BoundEvent? bound = TakeEvent(request, i);
                if (bound is not null && !events.IsAllocated(start + i))
                {
                    if (index == VfioIrqs.Msi || !HasDynamicMsix)
                    {
                        bound.Retire();
                        throw Refused(Errno.EINVAL, request, $"vector {start + i} was not enabled at first; disable, then enable more");
                    }

                    events.Allocate(start + i, 1);
                }

                BindVector(index, start + i, bound);
            }
            catch (VfioException)
            {
                // As the kernel does: all up to the failed one lose their eventfds, also those that worked before.
                for (int undo = 0; undo <= i; undo++)
                {
                    BindVector(index, start + undo, null);
                }

                if (!active)
                {
                    StopInterrupts();
                }

                throw;
            }
        }
    }

    private void TriggerSingle(in VfioIrqRequest request, ref BoundEvent? place)
    {
        if (request.Start != 0 || request.Count > 1)
        {
            throw Refused(Errno.EINVAL, request, "there is one such interrupt");
        }

        VfioIrqSetFlags data = request.Flags & VfioIrqSetFlags.DataMask;
        if (request.Count == 0 && data != VfioIrqSetFlags.DataNone)
        {
            throw Refused(Errno.EINVAL, request, "no interrupt is named");
        }

        switch (data)
        {
            case VfioIrqSetFlags.DataEventfd:
                Replace(ref place, TakeEvent(request, 0));
                break;
            case VfioIrqSetFlags.DataBool:
                if (IsNamed(request, 0))
                {
                    Fire(ref place);
                }

                break;
            default:
                if (place is null)
                {
                    throw Refused(Errno.EINVAL, request, "no eventfd is bound");
                }

                if (request.Count == 0)
                {
                    Replace(ref place, null);
                }
                else
                {
                    Fire(ref place);
                }

                break;
        }
    }

    private static bool IsNamed(in VfioIrqRequest request, int i) =>
        (request.Flags & VfioIrqSetFlags.DataBool) == 0 || (i < request.Bools.Length && request.Bools[i] != 0);

    /// <summary>The device's own duplicate of an eventfd of the request; null where there is none.</summary>
    private BoundEvent? TakeEvent(in VfioIrqRequest request, int i)
    {
        try
        {
            return request.TakeEvent(i, _ledger) is { } taken ? new BoundEvent(taken) : null;
        }
        catch (VfioException e)
        {
            throw Refused(e.Errno, request, e.Message);
        }
    }

    private VfioException Refused(Errno errno, in VfioIrqRequest request, string why) => new(
        errno,
        $"SET_IRQS of {Name}, index {request.Index}, vectors {request.Start} to {(ulong)request.Start + request.Count}",
        why);
}
