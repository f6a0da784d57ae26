using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The irqfds of a machine (KVM_IRQFD). An eventfd belongs to at most one irqfd of all machines of a host. An irqfd goes when it is taken
/// away, when the eventfd's users have closed it, or with the machine's handle. All members may be called from any thread.
/// </summary>
public sealed class IrqfdTable
{
    // Handlers of signals never take this one, so it may be held while waiting for them.
    private readonly Lock _changes = new();
    private readonly SimulatedKvm _kvm;
    private readonly SimulatedVmOptions _options;
    private readonly List<Irqfd> _irqfds = [];
    private readonly Dictionary<uint, Resampler> _resamplers = [];
    private long _byEvent;
    private long _byBypass;
    private bool _closed;

    internal IrqfdTable(SimulatedKvm kvm, SimulatedVmOptions options, InterruptController interrupts)
    {
        _kvm = kvm;
        _options = options;
        Interrupts = interrupts;
    }

    /// <summary>How many there are.</summary>
    public int Count
    {
        get
        {
            lock (_changes)
            {
                return _irqfds.Count;
            }
        }
    }

    /// <summary>How often eventfds were signalled that are interrupts. Signals that come while one is handled become one interrupt, and count each.</summary>
    public long DeliveredByEventfd => Interlocked.Read(ref _byEvent);

    /// <summary>How many interrupts came straight from their source.</summary>
    public long DeliveredByBypass => Interlocked.Read(ref _byBypass);

    internal InterruptController Interrupts { get; }

    internal bool RefusesBypass => _options.RefusesBypass;

    /// <summary>Makes an eventfd an interrupt of the machine. One that was signalled before interrupts at once.</summary>
    /// <param name="events">The eventfd; stays the caller's.</param>
    /// <param name="gsi">The line; one without a route is accepted, and injects nothing.</param>
    /// <param name="resample">
    /// With it the line is held until the guest's end of interrupt, which signals this eventfd; stays the caller's. Without, each signal is
    /// a pulse.
    /// </param>
    /// <exception cref="VfioException">
    /// EINVAL: the machine has no interrupt controller, or not the one for resampling; EBADF: an eventfd is closed; EBUSY: the eventfd is an
    /// interrupt already, of this machine or another; EMFILE: the process has no descriptor left.
    /// </exception>
    public void Assign(EventDescriptor events, uint gsi, EventDescriptor? resample = null)
    {
        ArgumentNullException.ThrowIfNull(events);
        string what = CheckController(gsi, resample is not null);
        EventDescriptor held = Hold(what, events);
        EventDescriptor? heldResample;
        try
        {
            heldResample = resample is null ? null : Hold(what, resample);
        }
        catch
        {
            held.Dispose();
            throw;
        }

        AssignOwned(held, gsi, heldResample);
    }

    /// <summary>
    /// Takes every irqfd with this eventfd and line away; without effect when there is none. When this returns none of them injects.
    /// </summary>
    /// <param name="events">The eventfd.</param>
    /// <param name="gsi">The line.</param>
    /// <exception cref="VfioException">EBADF: the eventfd is closed.</exception>
    public void Deassign(EventDescriptor events, uint gsi)
    {
        ArgumentNullException.ThrowIfNull(events);
        ulong key = KeyOf($"deassigning the irqfd of gsi {gsi}", events);
        lock (_changes)
        {
            foreach (Irqfd irqfd in _irqfds.FindAll(i => i.Key == key && i.Gsi == gsi))
            {
                Remove(irqfd);
            }
        }
    }

    /// <summary>The check that comes before all others: whether there is a controller that can do it.</summary>
    internal string CheckController(uint gsi, bool resample)
    {
        string what = $"assigning an irqfd to gsi {gsi}";
        if (!_options.InterruptController || (resample && _options.SplitInterruptController))
        {
            throw new VfioException(Errno.EINVAL, what, "the machine has no interrupt controller for it");
        }

        return what;
    }

    /// <summary>As <see cref="Assign"/>, and becomes the owner of the descriptors, also when it fails.</summary>
    internal void AssignOwned(EventDescriptor events, uint gsi, EventDescriptor? resample)
    {
        string what = $"assigning an irqfd to gsi {gsi}";
        try
        {
            ulong key = KeyOf(what, events);
            lock (_changes)
            {
                if (_closed)
                {
                    throw new VfioException(Errno.EBADF, what, "the machine is closed");
                }

                if (!_kvm.Host.IrqBypass.TryClaim(key))
                {
                    throw new VfioException(Errno.EBUSY, what, "the eventfd is an interrupt of a machine already; deassign it first");
                }

                Add(key, gsi, events, resample);
            }
        }
        catch
        {
            events.Dispose();
            resample?.Dispose();
            throw;
        }
    }

    internal void Close()
    {
        lock (_changes)
        {
            _closed = true;
            while (_irqfds.Count != 0)
            {
                Remove(_irqfds[^1]);
            }
        }
    }

    internal void CountEvents(ulong signals) => Interlocked.Add(ref _byEvent, (long)signals);

    internal void CountBypass() => Interlocked.Increment(ref _byBypass);

    private static ulong KeyOf(string what, EventDescriptor events)
    {
        try
        {
            return events.Identity;
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, what, "the eventfd is closed");
        }
    }

    private EventDescriptor Hold(string what, EventDescriptor events)
    {
        try
        {
            return events.Hold(_kvm.Host.Ledger);
        }
        catch (SystemCallException e)
        {
            throw new VfioException(e.Errno, what, e.Message);
        }
        catch (ObjectDisposedException)
        {
            throw new VfioException(Errno.EBADF, what, "the eventfd is closed");
        }
    }

    private void Add(ulong key, uint gsi, EventDescriptor events, EventDescriptor? resample)
    {
        CountedEvent? counted = resample is null ? null : new CountedEvent(resample);
        Resampler? resampler = null;
        if (counted is not null)
        {
            if (!_resamplers.TryGetValue(gsi, out resampler))
            {
                _resamplers.Add(gsi, resampler = new Resampler(Interrupts, gsi));
            }

            resampler.Add(counted);
        }

        var irqfd = new Irqfd(this, key, gsi, resampler) { Resample = counted };
        try
        {
            irqfd.Watch = _kvm.Host.Events.Watch(events, irqfd.Signalled);
        }
        catch (SystemCallException e)
        {
            Leave(irqfd);
            throw new VfioException(e.Errno, $"assigning an irqfd to gsi {gsi}", e.Message);
        }

        _irqfds.Add(irqfd);
        try
        {
            _kvm.Host.IrqBypass.Register(irqfd);
        }
        catch (Exception e)
        {
            // Whatever somebody else's producer throws, the eventfd works.
            _kvm.Host.Options.Log?.Invoke($"interrupts of gsi {gsi} arrive by their eventfd only: {e.Message}");
        }

        // Last, since it calls at once when the eventfd was closed meanwhile.
        irqfd.Closing = events.OnClosed(() => EventClosed(irqfd));
    }

    private void EventClosed(Irqfd irqfd)
    {
        lock (_changes)
        {
            if (_irqfds.Contains(irqfd))
            {
                Remove(irqfd);
            }
        }
    }

    private void Remove(Irqfd irqfd)
    {
        _irqfds.Remove(irqfd);
        irqfd.Closing?.Dispose();
        irqfd.Watch!.Dispose();
        try
        {
            _kvm.Host.IrqBypass.Unregister(irqfd);
        }
        catch (Exception e)
        {
            _kvm.Host.Options.Log?.Invoke($"interrupts of gsi {irqfd.Gsi} were not taken leave of: {e.Message}");
        }

        Leave(irqfd);
        irqfd.Resample?.Retire();
    }

    private void Leave(Irqfd irqfd)
    {
        _kvm.Host.IrqBypass.Unclaim(irqfd.Key);
        if (irqfd.Resampler is { } resampler)
        {
            resampler.Remove(irqfd.Resample!);
            if (resampler.IsEmpty)
            {
                _resamplers.Remove(irqfd.Gsi);
            }
        }
    }
}
