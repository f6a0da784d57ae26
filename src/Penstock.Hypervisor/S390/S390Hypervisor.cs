using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// What a hypervisor has once for all of its machines on an s390 host: the guest information block with its alert list, and the tables by which
/// functions' interruptions are forwarded. Disposing unloads it; the firmware keeps what was registered with it. All members may be called from any
/// thread.
/// </summary>
public sealed class S390Hypervisor : IDisposable, IHostInterruptHandler
{
    private const int MostSubclass = ZpciGisa.Subclasses - 1;

    private readonly Gib _gib;
    private readonly TimeProvider _time;
    private readonly Action<string>? _log;
    private long _warnings;
    private int _disposed;

    /// <summary>Loads it.</summary>
    /// <param name="firmware">The host's firmware.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <exception cref="VfioException">
    /// ERANGE: no such interruption subclass, or not so many functions; EBUSY: another one is loaded; EINVAL: one that was loaded since the host was
    /// started used another subclass, or fewer functions; EIO: firmware refused; ENOMEM: the host's storage is full.
    /// </exception>
    public S390Hypervisor(ZpciFirmware firmware, S390HypervisorOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(firmware);
        options ??= new S390HypervisorOptions();
        if (options.NotificationSubclass is < 0 or > MostSubclass || options.Functions is < 1 or > ZpciAipb.UsualEntries)
        {
            throw new VfioException(
                Errno.ERANGE,
                "loading a hypervisor",
                $"subclass {options.NotificationSubclass} is not 0 to {MostSubclass}, or {options.Functions} functions are not 1 to {ZpciAipb.UsualEntries}");
        }

        Firmware = firmware;
        NotificationSubclass = options.NotificationSubclass;
        _time = options.Time;
        _log = options.Log;
        _gib = new Gib(firmware, NotificationSubclass);
        try
        {
            // Without event notification no function is ever interpreted, and nothing has to be forwarded.
            Forwarding = (firmware.Machine.Assists & ZpciAssists.EventNotification) == 0
                ? null
                : new AdapterForwarding(firmware, NotificationSubclass, options.Functions);
        }
        catch
        {
            _gib.Dispose();
            throw;
        }

        firmware.SetHandler(NotificationSubclass, this);
        Forwarding?.Start();
    }

    /// <summary>The host's firmware.</summary>
    public ZpciFirmware Firmware { get; }

    /// <summary>The subclass by which the host is told.</summary>
    public int NotificationSubclass { get; }

    /// <summary>How often something was wrong that should not be, such as a machine that ended with interruptions registered.</summary>
    public long Warnings => Interlocked.Read(ref _warnings);

    /// <summary>How many passes over the alert list were made.</summary>
    public long AlertPasses => _gib.Passes;

    /// <summary>How many functions have their interruptions forwarded.</summary>
    public int Forwarded => Forwarding?.Count ?? 0;

    /// <summary>Whether firmware can serve guests' functions at all.</summary>
    public bool CanInterpret => Firmware.Machine.CanInterpret && Forwarding is not null;

    internal AdapterForwarding? Forwarding { get; }

    /// <summary>Unloads it. Its machines are gone.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            Firmware.SetHandler(NotificationSubclass, null);
            Forwarding?.Stop();
            _gib.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Handle(in HostInterrupt interrupt)
    {
        if (interrupt.IsForwarded || interrupt.IsError)
        {
            Forwarding?.Scan();
            if (interrupt.Suppressed != 0)
            {
                _gib.Process();
            }
        }
        else
        {
            _gib.Process();
        }
    }

    internal Gisa CreateGisa(GuestProcessors processors)
    {
        var gisa = new Gisa(this, Firmware.CreateGuest(), processors, _time);
        _gib.Add(gisa);
        processors.Use(gisa);
        return gisa;
    }

    internal void Destroy(Gisa gisa)
    {
        gisa.Destroy();
        _gib.Remove(gisa);
        gisa.Guest.Dispose();
    }

    internal void ProcessAlerts() => _gib.Process();

    internal void Warn(string line)
    {
        Interlocked.Increment(ref _warnings);
        _log?.Invoke(line);
    }
}
