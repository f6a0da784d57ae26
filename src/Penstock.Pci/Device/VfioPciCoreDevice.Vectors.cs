using Penstock.Specs.Vfio;

namespace Penstock.Pci;

// What the host does between a function's outputs and the eventfds that users bound.
public partial class VfioPciCoreDevice
{
    // Where the host lets messages arrive; only its own table says so, nothing in Penstock decodes it.
    private const ulong MessageAddress = 0xfee0_0000;
    private const int Idle = -1;

    private readonly IntxLine _intx;
    private readonly VectorEvents _msiEvents;
    private readonly VectorEvents _msixEvents;
    private BoundEvent? _error;
    private BoundEvent? _request;
    private int _msiCount;
    private bool _bypassRefused;
    private volatile int _active = Idle;

    /// <summary>
    /// Asked before the eventfd of an MSI-X vector is signalled; null, as at first, for nobody. May be changed at any time and from any thread; one that was just
    /// replaced may be asked once more.
    /// </summary>
    public IMessageIndicator? MessageIndicator
    {
        get => _msixEvents.Indicator;
        set => _msixEvents.Indicator = value;
    }

    /// <summary>The function's MSI-X capability, for where its table is; null when it has none.</summary>
    public MsixCapability? Msix => _msix;

    internal bool UsesVectors => _active is VfioIrqs.Msi or VfioIrqs.Msix;

    internal bool UsesPin => _active == VfioIrqs.Intx;

    internal void SetIntx(bool asserted) => _intx.SetLevel(asserted);

    internal void SignalVector(int vector)
    {
        if (!_isMaster)
        {
            return;
        }

        switch (_active)
        {
            case VfioIrqs.Msix when (uint)vector < (uint)_msixEvents.Count:
                SendMsix(vector);
                break;
            case VfioIrqs.Msi when (uint)vector < (uint)_msiEvents.Count:
                SendMsi(vector);
                break;
        }
    }

    private void SendMsix(int vector)
    {
        MsixCapability msix = _msix!;
        while (msix.IsMasked(vector) || !_msixEvents.Fire(vector))
        {
            msix.SetPending(vector);
            if (msix.IsMasked(vector) || _msixEvents.IsSuspended || !msix.TakePending(vector))
            {
                return;
            }
        }
    }

    private void SendMsi(int vector)
    {
        MsiCapability msi = _msi!;
        while (msi.IsMasked(vector) || !_msiEvents.Fire(vector))
        {
            if (!msi.IsMasked(vector) && !_msiEvents.IsBound(vector))
            {
                // Nobody listens. Any other reason is a mask or a suspension, even if it has ended by now.
                return;
            }

            msi.SetPending(vector);
            if (msi.IsMasked(vector) || _msiEvents.IsSuspended || !msi.TakePending(vector))
            {
                return;
            }
        }
    }

    private void SendPendingMsi()
    {
        bool canSend = _isMaster && _active == VfioIrqs.Msi && !_msiEvents.IsSuspended;
        for (int vector = 0; vector < _msiEvents.Count && canSend; vector++)
        {
            if (!_msi!.IsMasked(vector) && _msi.TakePending(vector))
            {
                SendMsi(vector);
            }
        }
    }

    private void SendPendingMsix()
    {
        bool canSend = _isMaster && _active == VfioIrqs.Msix && !_msixEvents.IsSuspended;
        for (int vector = 0; vector < _msixEvents.Count && canSend; vector++)
        {
            if (!_msix!.IsMasked(vector) && _msix.TakePending(vector))
            {
                SendMsix(vector);
            }
        }
    }

    /// <summary>From now on messages become pending; when this returns none is being sent.</summary>
    private void SuspendInterrupts()
    {
        _intx.SetSuspended(true);
        _msiEvents.Suspend();
        _msixEvents.Suspend();
    }

    /// <summary>Sends what has become pending meanwhile.</summary>
    private void ResumeInterrupts()
    {
        _msiEvents.Resume();
        _msixEvents.Resume();
        SendPendingMsi();
        SendPendingMsix();
        _intx.SetSuspended(false);
    }

    /// <summary>Binds, replaces or takes away the eventfd of one vector.</summary>
    private void BindVector(int index, int vector, BoundEvent? bound)
    {
        if (index == VfioIrqs.Msi)
        {
            _msiEvents.Bind(vector, bound);
            Join(bound, index, vector);
            if (bound is not null && _isMaster && !_msi!.IsMasked(vector) && _msi.TakePending(vector))
            {
                SendMsi(vector);
            }

            return;
        }

        // Masked before its eventfd goes, unmasked after it came: in between an interrupt becomes pending.
        if (bound is null)
        {
            _msix!.Mask(vector);
            _msixEvents.Bind(vector, null);
            return;
        }

        _msixEvents.Bind(vector, bound);
        ProgramVector(vector);
        Join(bound, index, vector);
        if (_isMaster && _msix!.TakePending(vector))
        {
            SendMsix(vector);
        }
    }

    /// <summary>Prepares the way past the eventfd. Without it interrupts arrive all the same.</summary>
    private void Join(BoundEvent? bound, int index, int vector)
    {
        if (bound?.Join(_bypass, vector) is { } why && !_bypassRefused)
        {
            // Once for each open: how often it happens is up to the user.
            _bypassRefused = true;
            Log($"{(index == VfioIrqs.Msi ? "MSI" : "MSI-X")} vector {vector} is signalled by its eventfd only: {why}");
        }
    }

    private void ProgramVector(int vector) => _msix!.Program(vector, MessageAddress, (uint)vector);

    private void StartVectors(int index, int count)
    {
        EventsOf(index).Allocate(0, count);
        if (index == VfioIrqs.Msi)
        {
            _msiCount = count;
            _msi!.SetUp(count);
        }
        else
        {
            _msix!.Enable();
        }

        _active = index;
    }

    private void StopInterrupts()
    {
        int was = _active;
        _active = Idle;
        switch (was)
        {
            case VfioIrqs.Intx:
                ListenForUnmask(null);
                _intx.Disable();
                break;
            case VfioIrqs.Msi:
                _msi!.TearDown();
                _msiEvents.Clear();
                break;
            case VfioIrqs.Msix:
                for (int vector = 0; vector < _msixEvents.Count; vector++)
                {
                    _msix!.Mask(vector);
                }

                _msix!.Disable();
                _msixEvents.Clear();
                break;
        }
    }

    /// <summary>After a reset: the function lost its messages, the host writes them again.</summary>
    private void RestoreInterrupts()
    {
        if (_active == VfioIrqs.Msi)
        {
            _msi!.SetUp(_msiCount);
        }
        else if (_active == VfioIrqs.Msix)
        {
            _msix!.Enable();
            for (int vector = 0; vector < _msixEvents.Count; vector++)
            {
                if (_msixEvents.IsBound(vector))
                {
                    ProgramVector(vector);
                }
            }
        }
    }

    private VectorEvents EventsOf(int index) => index == VfioIrqs.Msi ? _msiEvents : _msixEvents;

    private static void Replace(ref BoundEvent? place, BoundEvent? bound) => Interlocked.Exchange(ref place, bound)?.Retire();

    private static bool Fire(ref BoundEvent? place)
    {
        if (Volatile.Read(ref place) is not { } bound || !bound.TryEnter())
        {
            return false;
        }

        bound.SignalAndLeave();
        return true;
    }
}
