namespace Penstock.Pci;

/// <summary>
/// The interrupt pin between a function and the user's eventfd: level on one side, one signal and automatic masking on the other.
/// All members may be called from any thread; eventfds are signalled outside the lock.
/// </summary>
internal sealed class IntxLine(PciConfigSpace config)
{
    private readonly Lock _gate = new();
    private BoundEvent? _event;
    private bool _enabled;
    private bool _masked;
    private bool _pinDisabled;
    private bool _suspended;

    public void Enable(BoundEvent? bound)
    {
        BoundEvent? fire;
        lock (_gate)
        {
            _enabled = true;
            _masked = _pinDisabled;
            _event = bound;
            fire = Due();
        }

        fire?.SignalAndLeave();
    }

    /// <summary>The old eventfd is never signalled after this.</summary>
    public void Swap(BoundEvent? bound)
    {
        BoundEvent? old;
        lock (_gate)
        {
            old = _event;
            _event = bound;
        }

        old?.Retire();
    }

    public void Disable()
    {
        lock (_gate)
        {
            _enabled = false;
            _masked = false;
        }

        Swap(null);
    }

    /// <summary>The function drives the pin.</summary>
    public void SetLevel(bool asserted)
    {
        BoundEvent? fire;
        lock (_gate)
        {
            if (config.InterruptAsserted == asserted)
            {
                return;
            }

            config.InterruptAsserted = asserted;
            fire = Due();
        }

        fire?.SignalAndLeave();
    }

    public void Mask()
    {
        lock (_gate)
        {
            _masked = true;
        }
    }

    /// <summary>A level that is still high signals again at once and stays masked.</summary>
    public void Unmask()
    {
        BoundEvent? fire;
        lock (_gate)
        {
            if (_pinDisabled)
            {
                return;
            }

            _masked = false;
            fire = Due();
        }

        fire?.SignalAndLeave();
    }

    /// <summary>Interrupt Disable of the command register: setting it masks, clearing it unmasks.</summary>
    public void SetPinDisabled(bool disabled)
    {
        BoundEvent? fire;
        lock (_gate)
        {
            if (_pinDisabled == disabled)
            {
                return;
            }

            _pinDisabled = disabled;
            _masked = disabled;
            fire = Due();
        }

        fire?.SignalAndLeave();
    }

    /// <summary>The user signals by software.</summary>
    public void Trigger()
    {
        BoundEvent? fire;
        lock (_gate)
        {
            fire = _enabled && !_pinDisabled && _event is { } bound && bound.TryEnter() ? bound : null;
        }

        fire?.SignalAndLeave();
    }

    /// <summary>
    /// While suspended the level is kept and nothing is signalled for it; when this returns from suspending, no signal is in progress.
    /// </summary>
    public void SetSuspended(bool suspended)
    {
        BoundEvent? fire;
        BoundEvent? leaving;
        lock (_gate)
        {
            _suspended = suspended;
            fire = Due();
            leaving = suspended ? _event : null;
        }

        fire?.SignalAndLeave();
        leaving?.WaitUntilLeft();
    }

    private BoundEvent? Due()
    {
        if (!_enabled || _masked || _suspended || !config.InterruptAsserted)
        {
            return null;
        }

        _masked = true;
        return _event is { } bound && bound.TryEnter() ? bound : null;
    }
}
