using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>
/// The firmware of a modelled s390 host, as far as interruptions of zPCI functions are concerned: what the host has told it (SIC, set GIB), and the
/// way of a vector into a guest or to the host. One stands for one boot of the host; it outlives hypervisors. All members may be called from any
/// thread; delivering takes no lock, waits for nobody and allocates nothing.
/// </summary>
public sealed partial class ZpciFirmware : IDisposable
{
    private const int ModeAll = 2;
    private const int ModeArmed = 1;
    private const int ModeTold = 0;

    private readonly Lock _gate = new();
    private readonly IHostInterruptHandler?[] _handlers = new IHostInterruptHandler?[ZpciGisa.Subclasses];
    private readonly int[] _modes = new int[ZpciGisa.Subclasses];
    private readonly ZpciGuest?[] _guests = new ZpciGuest?[HostStorage.Length / ZpciGisa.Alignment];
    private ZpciAipb _parameters;
    private nint _table;
    private nint _summary;
    private nint _alertOrigin;
    private int _alertSubclass;
    private long _forwarded;
    private long _raised;
    private bool _isNotifying;

    /// <summary>Creates the firmware of a host that has just been started.</summary>
    /// <param name="machine">What machine it is of; null for one that can do everything.</param>
    /// <param name="ledger">Where what it owns is counted, if anywhere.</param>
    public ZpciFirmware(ZpciMachine? machine = null, ResourceLedger? ledger = null)
    {
        Machine = machine ?? new ZpciMachine();
        Storage = new HostStorage(ledger);
        Array.Fill(_modes, ModeAll);
    }

    /// <summary>What machine it is of.</summary>
    public ZpciMachine Machine { get; }

    /// <summary>Storage that the host and its firmware share.</summary>
    public HostStorage Storage { get; }

    /// <summary>Whether it delivers to guests itself at all; while it does not, everything goes to the host.</summary>
    public bool CanReachGuests { get; set; } = true;

    /// <summary>Answers instead of enabling or disabling a function, for tests of failures; null lets it happen.</summary>
    public Func<ZpciFunction, ZpciSetOperation, ZpciClpResponse?>? SetFault { get; set; }

    /// <summary>Answers instead of modifying a function, for tests of failures; null lets it happen.</summary>
    public Func<ZpciFunction, ZpciModifyOperation, ZpciAnswer?>? ModifyFault { get; set; }

    /// <summary>What was registered for adapter event notification; null before. It stays for as long as the host is up.</summary>
    public ZpciAipb? Parameters
    {
        get
        {
            lock (_gate)
            {
                return _isNotifying ? _parameters : null;
            }
        }
    }

    /// <summary>How many events of guests' functions were left to the host.</summary>
    public long Forwarded => Interlocked.Read(ref _forwarded);

    /// <summary>How many adapter interruptions the host has got.</summary>
    public long Raised => Interlocked.Read(ref _raised);

    /// <summary>SIC, set controls of adapter event notification.</summary>
    /// <param name="parameters">The parameter block: addresses in <see cref="Storage"/>.</param>
    /// <returns>Whether firmware took it; it does so once.</returns>
    public bool SetNotificationControls(in ZpciAipb parameters)
    {
        lock (_gate)
        {
            if (_isNotifying || (Machine.Assists & ZpciAssists.EventNotification) == 0)
            {
                return false;
            }

            _parameters = parameters;
            _table = Storage.Resolve(parameters.Table);
            _summary = Storage.Resolve(parameters.SummaryVector);
            Volatile.Write(ref _isNotifying, true);
            return true;
        }
    }

    /// <summary>SIC, one interruption of a subclass comes through, then none until this is said again.</summary>
    /// <param name="subclass">The subclass.</param>
    public void SetSingle(int subclass) => Interlocked.Exchange(ref _modes[subclass], ModeArmed);

    /// <summary>SIC, all interruptions of a subclass come through.</summary>
    /// <param name="subclass">The subclass.</param>
    public void SetAll(int subclass) => Interlocked.Exchange(ref _modes[subclass], ModeAll);

    /// <summary>Who handles a subclass from now on.</summary>
    /// <param name="subclass">The subclass.</param>
    /// <param name="handler">The handler; null for nobody, so that interruptions are lost.</param>
    public void SetHandler(int subclass, IHostInterruptHandler? handler) => Volatile.Write(ref _handlers[subclass], handler);

    /// <summary>Channel subsystem call, set guest information block.</summary>
    /// <param name="address">Address of the block in <see cref="Storage"/>; 0 for none.</param>
    /// <returns>Whether firmware took it; it does not while it has another.</returns>
    public bool SetGuestInterruptionBlock(uint address)
    {
        lock (_gate)
        {
            if (address != 0 && _alertOrigin != 0)
            {
                return false;
            }

            _alertSubclass = address == 0 ? 0 : ZpciGib.Read(Storage.Bytes(address, ZpciGib.Length)).Subclass & ZpciGib.SubclassMask;
            Volatile.Write(ref _alertOrigin, address == 0 ? 0 : Storage.Resolve(address));
            return true;
        }
    }

    /// <summary>Makes a guest's interruption state area.</summary>
    /// <returns>The guest, as firmware knows it; dispose it when it ends.</returns>
    /// <exception cref="Vfio.VfioException">ENOMEM: too many guests.</exception>
    public ZpciGuest CreateGuest()
    {
        uint address = Storage.Allocate(ZpciGisa.Length, ZpciGisa.Alignment);
        var guest = new ZpciGuest(this, new GisaArea(Storage, address));
        Volatile.Write(ref _guests[address / ZpciGisa.Alignment], guest);
        return guest;
    }

    /// <summary>An adapter interruption for the host, of whatever cause.</summary>
    /// <param name="interrupt">What it tells.</param>
    public void Raise(in HostInterrupt interrupt)
    {
        Interlocked.Increment(ref _raised);
        Volatile.Read(ref _handlers[interrupt.Subclass])?.Handle(interrupt);
    }

    /// <summary>The host is shut down. Functions and guests are gone.</summary>
    public void Dispose() => Storage.Dispose();

    internal void Remove(ZpciGuest guest)
    {
        uint address = guest.Area.Address;
        Volatile.Write(ref _guests[address / ZpciGisa.Alignment], null);
        Storage.Free(address, ZpciGisa.Length);
    }
}
