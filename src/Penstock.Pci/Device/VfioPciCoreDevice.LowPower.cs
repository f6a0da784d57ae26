using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

// Low power: between calls the device sleeps, in D3 as far as the function can tell: it does nothing by itself. All changes are made on
// the strand.
public partial class VfioPciCoreDevice
{
    private volatile bool _maySleep;
    private EventDescriptor? _wakeup;
    private bool _sleeps;
    private bool _fallsAsleep;
    private int _calls;

    /// <inheritdoc/>
    protected override void Feature(in VfioFeatureRequest request)
    {
        switch (request.Feature)
        {
            case VfioFeature.LowPowerEntry:
                if (request.Proceed(VfioFeatureFlags.Set, 0))
                {
                    EnterLowPower(request.What, null);
                }

                break;
            case VfioFeature.LowPowerEntryWithWakeup:
                if (request.Proceed(VfioFeatureFlags.Set, VfioFeatureLowPowerWakeup.Length))
                {
                    EnterLowPower(request.What, TakeWakeup(request));
                }

                break;
            case VfioFeature.LowPowerExit:
                if (request.Proceed(VfioFeatureFlags.Set, 0))
                {
                    _strand.RunOn(LeaveLowPower);
                }

                break;
            default:
                throw NoFeature(request);
        }
    }

    /// <inheritdoc/>
    protected override void Resume()
    {
        Interlocked.Increment(ref _calls);
        if (!_maySleep)
        {
            return;
        }

        try
        {
            _strand.RunOn(WakeUp);
        }
        catch
        {
            // The call does not take place, so nobody ends it.
            Interlocked.Decrement(ref _calls);
            throw;
        }
    }

    /// <inheritdoc/>
    protected override void Suspend()
    {
        if (Interlocked.Decrement(ref _calls) == 0 && _maySleep)
        {
            _strand.RunOn(FallAsleep);
        }
    }

    private Errno ReadAwake(uint region, ulong offset, Span<byte> data, out int transferred)
    {
        Resume();
        try
        {
            return ReadRegion(region, offset, data, out transferred);
        }
        finally
        {
            Suspend();
        }
    }

    private Errno WriteAwake(uint region, ulong offset, ReadOnlySpan<byte> data, out int transferred)
    {
        Resume();
        try
        {
            return WriteRegion(region, offset, data, out transferred);
        }
        finally
        {
            Suspend();
        }
    }

    private static EventDescriptor TakeWakeup(in VfioFeatureRequest request)
    {
        int number = request.Take<VfioFeatureLowPowerWakeup>().WakeupEvent;
        if (number < 0)
        {
            throw new VfioException(Errno.EINVAL, request.What, "an eventfd is needed");
        }

        OwnedDescriptor descriptor = request.Files.Duplicate(number);
        try
        {
            return EventDescriptor.Adopt(descriptor);
        }
        catch (SystemCallException e)
        {
            descriptor.Dispose();
            throw new VfioException(e.Errno, request.What, $"descriptor {number} is no eventfd");
        }
    }

    private void EnterLowPower(string what, EventDescriptor? wakeup)
    {
        bool entered = false;
        _strand.RunOn(() =>
        {
            if (!_maySleep)
            {
                _maySleep = true;
                _wakeup = wakeup;
                entered = true;
                ApplyMemory();
            }
        });
        if (!entered)
        {
            wakeup?.Dispose();
            throw new VfioException(Errno.EINVAL, what, "the device may sleep already");
        }
    }

    private void LeaveLowPower()
    {
        _maySleep = false;
        _wakeup?.Dispose();
        _wakeup = null;
        WakeUp();
        ApplyMemory();
    }

    private void FallAsleep()
    {
        if (!_maySleep || _sleeps || Volatile.Read(ref _calls) != 0)
        {
            return;
        }

        if (_power is { PowerState: not PciPowerManagement.D0 } power)
        {
            // Where the user had put it; only the host decides from here on. That is no reset that a user asked for.
            _fallsAsleep = true;
            try
            {
                power.Write(PciPowerManagement.Control, [0]);
            }
            finally
            {
                _fallsAsleep = false;
            }
        }

        _sleeps = true;
        ApplyActivityOrLog();
    }

    private void WakeUp()
    {
        if (!_sleeps)
        {
            return;
        }

        _sleeps = false;
        ApplyActivityOrLog();
        if (_wakeup is { } wakeup)
        {
            _maySleep = false;
            _wakeup = null;
            ApplyMemory();
            _ = wakeup.Signal();
            wakeup.Dispose();
        }
    }
}
