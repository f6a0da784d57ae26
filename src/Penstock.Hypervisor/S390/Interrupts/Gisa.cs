using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// The guest interruption state area of one machine, and what the hypervisor knows about it: which interruption subclasses are wanted by how many
/// functions, and the timer that wakes an idle processor. May be used from any thread; posting, forwarding and taking take no lock of this object.
/// </summary>
public sealed class Gisa
{
    /// <summary>How many interruption subclasses there are.</summary>
    public const int Subclasses = ZpciGisa.Subclasses;

    // How long after a kick an idle processor is kicked again if nobody has taken what is pending.
    private static readonly TimeSpan Expires = TimeSpan.FromMicroseconds(50);
    private static readonly TimeSpan Shortest = TimeSpan.FromMilliseconds(1);

    private readonly Lock _references = new();
    private readonly int[] _counts = new int[Subclasses];
    private readonly S390Hypervisor _owner;
    private readonly ZpciGuest _guest;
    private readonly GuestProcessors _processors;
    private readonly ITimer _timer;
    private readonly TimeSpan _again;
    private int _wanted;
    private int _destroyed;
    private long _forwarded;
    private long _kicks;

    internal Gisa(S390Hypervisor owner, ZpciGuest guest, GuestProcessors processors, TimeProvider time)
    {
        _owner = owner;
        _guest = guest;
        _processors = processors;

        // The system's timers know milliseconds, and take anything shorter for "at once".
        _again = time == TimeProvider.System ? Shortest : Expires;
        _timer = time.CreateTimer(static self => ((Gisa)self!).Expired(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>By what firmware knows the machine.</summary>
    public uint Designation => _guest.Designation;

    /// <summary>Whether interruptions of a subclass can be held back (format 1).</summary>
    public bool HasModes => (_owner.Firmware.Machine.Assists & ZpciAssists.GisaFormat1) != 0;

    /// <summary>The area's first word as of now.</summary>
    public GisaWord Word => _guest.Area.Word;

    /// <summary>Pending subclasses, the first in the highest bit of eight.</summary>
    public byte Pending => Word.Pending;

    /// <summary>Whether it is in the list of areas that alert the host.</summary>
    public bool IsAlerted => !_guest.Area.IsFree;

    /// <summary>Subclasses that functions have registered; the area alerts from them.</summary>
    public byte Wanted => (byte)Volatile.Read(ref _wanted);

    /// <summary>How many interruptions firmware posted without the host.</summary>
    public long PostedByFirmware => _guest.Posted;

    /// <summary>How many interruptions the host forwarded (aen_forward).</summary>
    public long ForwardedByHost => Interlocked.Read(ref _forwarded);

    /// <summary>How many interruptions firmware held back, as the guest had asked.</summary>
    public long Suppressed => _guest.Suppressed;

    /// <summary>How often the area alerted the host.</summary>
    public long Alerts => _guest.Alerts;

    internal ZpciGuest Guest => _guest;

    /// <summary>How often an idle processor was woken.</summary>
    public long Kicks => Interlocked.Read(ref _kicks);

    /// <summary>The guest takes what is pending, as a processor that runs it does. Of a subclass in single mode no further one comes until the guest asks.</summary>
    /// <returns>What was pending.</returns>
    public byte Take()
    {
        GisaWord seen = Volatile.Read(ref _destroyed) != 0 ? default : _guest.Area.Word;
        while (seen.Pending != 0)
        {
            byte pending = seen.Pending;
            if (_guest.Area.TryReplace(ref seen, seen with { Pending = 0, Modes = seen.Modes.Used(pending) }))
            {
                return pending;
            }
        }

        return 0;
    }

    /// <summary>The guest says with SIC how often a subclass comes through; in single mode, that the next one may come.</summary>
    /// <param name="subclass">The subclass.</param>
    /// <param name="mode">How often.</param>
    /// <exception cref="VfioException">ERANGE: there is no such subclass; EINVAL: that is no mode; EOPNOTSUPP: the area has format 0.</exception>
    public void SetMode(int subclass, ZpciInterruptionControl mode)
    {
        string what = $"setting the mode of interruption subclass {subclass}";
        Check(what, subclass);
        if (!InterruptionModes.IsMode(mode))
        {
            throw new VfioException(Errno.EINVAL, what, $"operation {(int)mode} of SIC sets no mode; pass All or Single");
        }

        if (!HasModes)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, "the machine's interruption state areas have format 0");
        }

        byte mask = GisaArea.MaskOf(subclass);
        GisaWord seen = _guest.Area.Word;
        while (!_guest.Area.TryReplace(ref seen, seen with { Modes = seen.Modes.Set(mask, mode) }))
        {
        }
    }

    /// <summary>A function's interruptions are to come with a subclass: the first one makes the area alert from it.</summary>
    /// <param name="subclass">The guest's subclass.</param>
    /// <returns>The host's subclass for functions of guests.</returns>
    /// <exception cref="VfioException">ENODEV: the area is gone; ERANGE: there is no such subclass.</exception>
    public int Register(int subclass)
    {
        string what = $"registering interruption subclass {subclass}";
        Check(what, subclass);
        lock (_references)
        {
            if (++_counts[subclass] == 1)
            {
                Volatile.Write(ref _wanted, _wanted | GisaArea.MaskOf(subclass));
                TrySetAlerting((byte)_wanted);
            }
        }

        return _owner.NotificationSubclass;
    }

    /// <summary>A function's interruptions do not come with a subclass any more.</summary>
    /// <param name="subclass">The guest's subclass.</param>
    /// <exception cref="VfioException">ENODEV, ERANGE: as <see cref="Register"/>; EINVAL: no function has registered it.</exception>
    public void Unregister(int subclass)
    {
        string what = $"unregistering interruption subclass {subclass}";
        Check(what, subclass);
        lock (_references)
        {
            if (_counts[subclass] == 0)
            {
                throw new VfioException(Errno.EINVAL, what, "no function has registered it");
            }

            if (--_counts[subclass] == 0)
            {
                Volatile.Write(ref _wanted, _wanted & ~GisaArea.MaskOf(subclass));
                TrySetAlerting((byte)_wanted);
            }
        }
    }

    /// <summary>Sets what alerts, unless the area is in the alert list.</summary>
    /// <param name="mask">Subclasses.</param>
    /// <returns>None; EBUSY: it is in the list, and the timer sets what is wanted once nothing is pending.</returns>
    internal Errno TrySetAlerting(byte mask)
    {
        GisaWord seen = _guest.Area.Word;
        do
        {
            if (seen.NextAlert != _guest.Area.Address)
            {
                return Errno.EBUSY;
            }
        }
        while (!_guest.Area.TryReplace(ref seen, seen with { Alerting = mask }));

        return Errno.None;
    }

    /// <summary>The host has taken the area out of the alert list, or made something pending: an idle processor is to look soon.</summary>
    internal void Kick() => _timer.Change(TimeSpan.Zero, Timeout.InfiniteTimeSpan);

    /// <summary>Puts the area on no list; the caller has cut the list that it was in.</summary>
    /// <returns>The next one of that list, or what ended it.</returns>
    internal uint Unlink()
    {
        GisaWord seen = _guest.Area.Word;
        uint next;
        do
        {
            next = seen.NextAlert;
        }
        while (!_guest.Area.TryReplace(ref seen, seen with { NextAlert = _guest.Area.Address }));

        return next;
    }

    /// <summary>The host delivers what firmware could not.</summary>
    /// <param name="subclass">The guest's subclass.</param>
    internal void Forward(int subclass)
    {
        byte mask = GisaArea.MaskOf(subclass);
        GisaWord seen = _guest.Area.Word;
        do
        {
            if (seen.Modes.HoldsBack(mask))
            {
                return;
            }
        }
        while (!_guest.Area.TryReplace(ref seen, seen with { Pending = (byte)(seen.Pending | mask) }));

        Interlocked.Increment(ref _forwarded);
        Kick();
    }

    /// <summary>The machine ends.</summary>
    internal void Destroy()
    {
        if (Interlocked.Exchange(ref _destroyed, 1) != 0)
        {
            return;
        }

        lock (_references)
        {
            if (_wanted != 0)
            {
                _owner.Warn($"a machine ends with interruption subclasses 0x{_wanted:x2} still registered");
                Array.Clear(_counts);
                Volatile.Write(ref _wanted, 0);
            }
        }

        // Nothing alerts from it any more; if it is in the list, whoever raised that interruption takes it out.
        SpinWait spin = default;
        while (TrySetAlerting(0) != Errno.None)
        {
            _owner.ProcessAlerts();
            spin.SpinOnce();
        }

        _timer.Dispose();
    }

    private void Expired()
    {
        byte pending;
        lock (_references)
        {
            // Not after the end: the area is somebody else's then.
            pending = Volatile.Read(ref _destroyed) != 0 ? (byte)0 : TakeWantedOrRestore();
        }

        if (pending == 0)
        {
            return;
        }

        try
        {
            if (_processors.TryKick(pending))
            {
                Interlocked.Increment(ref _kicks);
            }
        }
        catch (Exception e)
        {
            // It is the machine's user's code, and this is a timer's thread.
            _owner.Warn($"waking a processor failed: {e}");
        }

        _timer.Change(_again, Timeout.InfiniteTimeSpan);
    }

    /// <summary>What is pending of what is wanted; when nothing is, the area alerts again.</summary>
    private byte TakeWantedOrRestore()
    {
        GisaWord seen = _guest.Area.Word;
        while (true)
        {
            byte wanted = Wanted;
            byte pending = (byte)(seen.Pending & wanted);
            if (pending != 0 || _guest.Area.TryReplace(ref seen, seen with { Alerting = wanted }))
            {
                return pending;
            }
        }
    }

    private void Check(string what, int subclass)
    {
        if (Volatile.Read(ref _destroyed) != 0)
        {
            throw new VfioException(Errno.ENODEV, what, "the machine is gone");
        }

        if ((uint)subclass >= Subclasses)
        {
            throw new VfioException(Errno.ERANGE, what, $"there are {Subclasses}, from 0");
        }
    }
}
