using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A zPCI function as a guest sees it (zPCI architecture, states): its state and handle, what the guest has registered, and the device behind
/// it. Disposing takes it away from the guest. Control operations of one function run one at a time; loads, stores and interruptions take
/// no lock of it. All members may be called from any thread.
/// </summary>
public sealed partial class ZpciGuestFunction : IDisposable
{
    private readonly Lock _gate = new();
    private readonly ZpciBus _bus;
    private readonly ZpciDeviceSide _device;
    private readonly ZpciMeasurement _measurement;
    private readonly ZpciFunctionOptions _options;
    private int _state = (int)ZpciFunctionState.Reserved;
    private uint _handle;

    internal ZpciGuestFunction(ZpciBus bus, ZpciDeviceSide device, ZpciFunctionOptions options, uint functionId, ushort userId)
    {
        _bus = bus;
        _device = device;
        _options = options;
        FunctionId = functionId;
        UserId = userId;
        _measurement = new ZpciMeasurement(this, bus.Machine.Memory, bus.Options.Time);
        device.Owner = this;
    }

    /// <summary>Its id, which never changes.</summary>
    public uint FunctionId { get; }

    /// <summary>Its user-defined id.</summary>
    public ushort UserId { get; }

    /// <summary>Its handle as of now.</summary>
    public uint Handle => Volatile.Read(ref _handle);

    /// <summary>Its index in the handle.</summary>
    public ushort Index => (ushort)(Handle & ZpciHandle.IndexMask);

    /// <summary>Its state.</summary>
    public ZpciFunctionState State => (ZpciFunctionState)Volatile.Read(ref _state);

    /// <summary>Its group.</summary>
    public ZpciGuestGroup Group { get; internal set; } = null!;

    /// <summary>Whether firmware serves the guest's loads and stores.</summary>
    public bool IsInterpreted => _device.IsInterpreted;

    /// <summary>Whether it is an internal shared memory function.</summary>
    public bool IsSharedMemory => _device.Info?.Base.FunctionType == ZpciClpQueryFunctionResponse.IsmFunction;

    /// <summary>Whether the guest is asked to give it back.</summary>
    public bool IsUnplugRequested { get; internal set; }

    /// <summary>First address of DMA.</summary>
    public ulong StartDma { get; internal set; } = ZpciLimits.StartDma;

    /// <summary>Last address of DMA.</summary>
    public ulong EndDma { get; internal set; } = ZpciLimits.EndDma;

    internal ZpciBus Bus => _bus;

    internal ZpciDeviceSide Device => _device;

    internal ZpciFunctionOptions Options => _options;

    internal bool IsConfigured => State is not (ZpciFunctionState.Reserved or ZpciFunctionState.Standby);

    /// <summary>
    /// An error of DMA, translation or interruption: the function stops, and the guest gets an event. Without effect unless the function is in use.
    /// Takes no lock, so that a device may call it from anywhere.
    /// </summary>
    /// <param name="error">What happened.</param>
    /// <param name="address">At which address.</param>
    /// <returns>Whether the function stopped.</returns>
    public bool Fail(ZpciErrorEvent error, ulong address)
    {
        if (!TryMove(ZpciFunctionState.Enabled, ZpciFunctionState.Error) && !TryMove(ZpciFunctionState.Blocked, ZpciFunctionState.Error))
        {
            return false;
        }

        Report(error, address);
        return true;
    }

    /// <summary>An error that nothing repairs. Without effect on a function that is not configured.</summary>
    public void FailPermanently()
    {
        lock (_gate)
        {
            if (!IsConfigured || State == ZpciFunctionState.PermanentError)
            {
                return;
            }

            SetState(ZpciFunctionState.PermanentError);
            TearDown();
            Report(ZpciErrorEvent.Permanent, 0);
        }
    }

    /// <summary>Takes it away without asking the guest; see <see cref="ZpciBus.Remove"/>.</summary>
    public void Dispose() => _bus.Remove(this);

    internal void Report(ZpciErrorEvent error, ulong address) => _bus.Events.Add(new ZpciErrorEventBlock
    {
        Handle = Handle,
        FunctionId = FunctionId,
        Address = address,
        Code = error,
    });

    internal void Announce(ZpciAvailabilityEvent code) => _bus.Events.Add(new ZpciAvailabilityEventBlock
    {
        Handle = Handle,
        FunctionId = FunctionId,
        Code = code,
    });

    /// <summary>The function is put onto the bus.</summary>
    internal void Plugged(uint handle)
    {
        lock (_gate)
        {
            Volatile.Write(ref _handle, handle);
            SetState(_options.IsConfigured ? ZpciFunctionState.Disabled : ZpciFunctionState.Standby);
            if (_options.IsHotplugged)
            {
                Announce(_options.IsConfigured ? ZpciAvailabilityEvent.Configured : ZpciAvailabilityEvent.ReservedToStandby);
            }
        }
    }

    /// <summary>SCLP: the guest takes it.</summary>
    internal ZpciSclpResponse Configure() => SetConfigured(true);

    /// <summary>SCLP: the guest gives it back. The caller finishes a pending unplug.</summary>
    internal ZpciSclpResponse Deconfigure() => SetConfigured(false);

    /// <summary>CLP: the guest switches it on.</summary>
    internal ZpciClpResponse Enable()
    {
        lock (_gate)
        {
            if (State != ZpciFunctionState.Disabled)
            {
                return RefusalToSwitch();
            }

            uint handle = _handle | ZpciHandle.Enabled;
            if (IsInterpreted)
            {
                // The host may have made the handle anew; firmware takes no other.
                if (_device.HostHandle() is not { } host || (host & ZpciHandle.Enabled) == 0 || (host & ZpciHandle.IndexMask) != Index)
                {
                    return ZpciClpResponse.InvalidHandle;
                }

                handle = host;
            }

            Volatile.Write(ref _handle, handle);
            SetState(ZpciFunctionState.Enabled);
            return ZpciClpResponse.Ok;
        }
    }

    /// <summary>CLP: the guest switches it off.</summary>
    internal ZpciClpResponse Disable()
    {
        lock (_gate)
        {
            if (State is not (ZpciFunctionState.Enabled or ZpciFunctionState.Blocked or ZpciFunctionState.Error))
            {
                return RefusalToSwitch();
            }

            SwitchOff(ZpciFunctionState.Disabled);
            return ZpciClpResponse.Ok;
        }
    }

    /// <summary>The machine is reset.</summary>
    internal void Reset()
    {
        lock (_gate)
        {
            switch (State)
            {
                case ZpciFunctionState.Reserved or ZpciFunctionState.Standby:
                    return;
                case ZpciFunctionState.PermanentError:
                    TearDown();
                    return;
                default:
                    SwitchOff(ZpciFunctionState.Disabled);
                    break;
            }
        }

        ResetSharedMemory();
    }

    /// <summary>Firmware's rule for internal shared memory: nobody else may find it in use.</summary>
    internal void ResetSharedMemory()
    {
        if (IsSharedMemory)
        {
            lock (_gate)
            {
                ReleaseInterrupts();
            }

            _device.Reset();
        }
    }

    /// <summary>Everything that the guest has registered goes, and the function stands by.</summary>
    internal void StandBy()
    {
        lock (_gate)
        {
            SwitchOff(ZpciFunctionState.Standby);
        }
    }

    /// <summary>It is taken off the bus; what it had was torn down, or is now.</summary>
    internal void Unplugged()
    {
        lock (_gate)
        {
            ZpciAvailabilityEvent code = IsConfigured ? ZpciAvailabilityEvent.ConfiguredToStandby : ZpciAvailabilityEvent.StandbyToReserved;
            if (State != ZpciFunctionState.Reserved)
            {
                SwitchOff(ZpciFunctionState.Reserved);
                Announce(code);
            }

            EndTranslation();
        }

        _measurement.Dispose();
        _device.Dispose();
    }

    private ZpciSclpResponse SetConfigured(bool configured)
    {
        lock (_gate)
        {
            if (State == ZpciFunctionState.Reserved)
            {
                return ZpciSclpResponse.InReservedState;
            }

            if (IsConfigured == configured)
            {
                return ZpciSclpResponse.NoActionRequired;
            }

            if (configured)
            {
                SetState(ZpciFunctionState.Disabled);
            }
            else
            {
                SwitchOff(ZpciFunctionState.Standby);
            }

            return ZpciSclpResponse.Done;
        }
    }

    /// <summary>What CLP answers in a state that does not allow what it asks for.</summary>
    private ZpciClpResponse RefusalToSwitch() =>
        State == ZpciFunctionState.PermanentError ? ZpciClpResponse.PermanentError : ZpciClpResponse.HandleNotValidForOperation;

    private void SwitchOff(ZpciFunctionState state)
    {
        // The state goes first: interruptions and errors that are under way find it.
        SetState(state);
        TearDown();
        Volatile.Write(ref _handle, _handle & ~ZpciHandle.Enabled);
    }

    private void TearDown()
    {
        ReleaseInterrupts();
        ReleaseTranslation();
        _measurement.Stop();
    }

    private void SetState(ZpciFunctionState state) => Volatile.Write(ref _state, (int)state);

    private bool TryMove(ZpciFunctionState from, ZpciFunctionState to) => Interlocked.CompareExchange(ref _state, (int)to, (int)from) == (int)from;
}
