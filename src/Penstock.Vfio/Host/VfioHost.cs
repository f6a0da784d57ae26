using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// The root of everything: IOMMU units with their groups, registered devices, backend drivers, and what they own. Hosts share nothing
/// with each other. All members may be called from any thread.
/// </summary>
public sealed partial class VfioHost : IDisposable
{
    // Order: registration, then a group's gate and what is below it; the gate of this object is the innermost of all.
    private readonly Lock _registration = new();
    private readonly Lock _gate = new();
    private readonly List<IommuUnit> _units = [];
    private readonly SortedDictionary<int, IommuGroup> _groups = [];
    private readonly List<VfioDevice> _devices = [];
    private readonly List<IommuBackendDriver> _drivers = [new Type1Driver()];
    private int _nextGroup;

    /// <summary>Creates a host without units.</summary>
    /// <param name="options">Settings; null for the defaults.</param>
    public VfioHost(VfioHostOptions? options = null)
    {
        Options = options ?? new VfioHostOptions();
        Events = new EventWatcher("eventfds", Ledger, Options.Log);
        Mappings = new MappingCache(Options.Mappings, Options.Time, Ledger);
        _emulated = EmulatedUnit();
        NoIommuUnit = MakeNoIommuUnit();
    }

    /// <summary>The settings.</summary>
    public VfioHostOptions Options { get; }

    /// <summary>Counts what is owned on behalf of this host.</summary>
    public ResourceLedger Ledger { get; } = new();

    /// <summary>Mappings of users' files, shared by all who do not bring a cache of their own.</summary>
    public MappingCache Mappings { get; }

    /// <summary>The units as of now.</summary>
    public IReadOnlyList<IommuUnit> Units
    {
        get
        {
            lock (_gate)
            {
                return [.. _units];
            }
        }
    }

    /// <summary>The groups as of now, by number.</summary>
    public IReadOnlyList<IommuGroup> Groups
    {
        get
        {
            lock (_gate)
            {
                return [.. _groups.Values];
            }
        }
    }

    /// <summary>The registered devices as of now, those included that are waiting to be given back.</summary>
    public IReadOnlyList<VfioDevice> Devices
    {
        get
        {
            lock (_gate)
            {
                return [.. _devices];
            }
        }
    }

    /// <summary>What users have locked, through containers and iommufds.</summary>
    internal LockedMemoryAccounts LockedMemory { get; } = new();

    /// <summary>
    /// One line for people: what is pinned and charged now, <c>nothing</c> when all is given back. After any order of closing it must be that.
    /// </summary>
    internal string MemoryBalance => (Ledger.Outstanding(ResourceKind.Pin), LockedMemory.ToString()) is (0, var charged)
        ? charged
        : $"{Ledger.Outstanding(ResourceKind.Pin)} pins, charged {LockedMemory}";

    internal AllocationGate Allocations { get; } = new();

    internal IReadOnlyList<IommuBackendDriver> BackendDrivers
    {
        get
        {
            lock (_gate)
            {
                return [.. _drivers];
            }
        }
    }

    /// <summary>Adds an IOMMU unit.</summary>
    /// <param name="name">Name for people.</param>
    /// <param name="options">What it can do; null for everything.</param>
    /// <returns>The unit, without groups.</returns>
    public IommuUnit AddIommuUnit(string name, IommuUnitOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var unit = new IommuUnit(this, name, options ?? new IommuUnitOptions());
        Mappings.KeepsDescriptors |= unit.Options.CreateMirror is not null;
        lock (_gate)
        {
            _units.Add(unit);
        }

        return unit;
    }

    /// <summary>Adds a backend driver after the ones there are; type1 is there from the start.</summary>
    /// <param name="driver">The driver.</param>
    /// <exception cref="VfioException">EINVAL: it is registered already.</exception>
    public void AddBackendDriver(IommuBackendDriver driver)
    {
        ArgumentNullException.ThrowIfNull(driver);
        lock (_gate)
        {
            if (_drivers.Contains(driver))
            {
                throw new VfioException(Errno.EINVAL, $"registering backend {driver.Name}", "it is registered already");
            }

            _drivers.Add(driver);
        }
    }

    /// <summary>Opens a container.</summary>
    /// <param name="caller">Who opens.</param>
    /// <param name="memory">What addresses in its structures mean; null for those of this process.</param>
    /// <param name="files">What descriptors in its structures mean; null for those of this process.</param>
    /// <returns>The container, empty.</returns>
    public VfioContainer OpenContainer(Caller caller, IUserAddressSpace? memory = null, IUserFiles? files = null)
    {
        ArgumentNullException.ThrowIfNull(caller);
        return new VfioContainer(this, caller, memory ?? new ProcessAddressSpace(), files ?? new UserFiles());
    }

    /// <summary>Opens a group; only one file of a group can be open.</summary>
    /// <param name="number">Its number.</param>
    /// <param name="caller">Who opens.</param>
    /// <param name="memory">What addresses in its structures mean; null for those of this process.</param>
    /// <param name="files">What descriptors in its structures, and in those of device files opened through it, mean; null for those of this process.</param>
    /// <returns>The group file.</returns>
    /// <exception cref="VfioException">
    /// ENOENT: no such group; ENODEV: it has no registered device; EPERM: it has no IOMMU, and the caller no raw I/O; EBUSY: open already, or
    /// a device is bound to an iommufd.
    /// </exception>
    public VfioGroup OpenGroup(int number, Caller caller, IUserAddressSpace? memory = null, IUserFiles? files = null)
    {
        ArgumentNullException.ThrowIfNull(caller);
        string what = $"opening group {number}";
        IommuGroup? group;
        lock (_gate)
        {
            _groups.TryGetValue(number, out group);
        }

        GroupState state = (group ?? throw new VfioException(Errno.ENOENT, what, "there is no such group")).Vfio
            ?? throw new VfioException(Errno.ENODEV, what, "the group has no registered device");
        lock (state.Gate)
        {
            if (state.IsDead)
            {
                throw new VfioException(Errno.ENODEV, what, "the group's last device has gone");
            }

            CheckRawIo(what, state.Group, caller);
            if (state.CdevUsers != 0)
            {
                throw new VfioException(Errno.EBUSY, what, "a device of the group is bound to an iommufd; close its file first");
            }

            if (state.IsOpen)
            {
                throw new VfioException(Errno.EBUSY, what, "it is open already");
            }

            state.IsOpen = true;
            return new VfioGroup(state, caller, memory ?? new ProcessAddressSpace(), files ?? new UserFiles());
        }
    }

    /// <summary>Opens an iommufd.</summary>
    /// <param name="caller">Who opens.</param>
    /// <param name="memory">What addresses in its structures mean; null for those of this process.</param>
    /// <param name="files">What descriptors in its structures mean; null for those of this process.</param>
    /// <returns>The context, empty.</returns>
    public IommufdContext OpenIommufd(Caller caller, IUserAddressSpace? memory = null, IUserFiles? files = null)
    {
        ArgumentNullException.ThrowIfNull(caller);
        return new IommufdContext(this, caller, memory ?? new ProcessAddressSpace(), files ?? new UserFiles());
    }

    /// <summary>Opens a device by itself, to bind it to an iommufd. It can be opened several times, and bound once.</summary>
    /// <param name="name">Its name, with <c>noiommu-</c> before it when it has no IOMMU.</param>
    /// <param name="caller">Who opens.</param>
    /// <param name="memory">What addresses in its structures mean; null for those of this process.</param>
    /// <param name="files">What descriptors in its structures mean; null for those of this process.</param>
    /// <returns>The file, not bound.</returns>
    /// <exception cref="VfioException">ENODEV: no such device, or it is being taken back; EPERM: it has no IOMMU, and the caller no raw I/O.</exception>
    public VfioCdevFile OpenCdev(string name, Caller caller, IUserAddressSpace? memory = null, IUserFiles? files = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(caller);
        GroupState? state = null;
        VfioDevice? device = Devices.FirstOrDefault(d => CdevNameOf(d) == name && (state = d.State) is not null);
        if (device is not null)
        {
            lock (state!.Gate)
            {
                if (state.Devices.Contains(device))
                {
                    CheckRawIo($"opening {name}", state.Group, caller);
                    device.AddNode();
                    return new VfioCdevFile(device, state, caller, memory ?? new ProcessAddressSpace(), files ?? new UserFiles());
                }
            }
        }

        throw new VfioException(Errno.ENODEV, $"opening {name}", "this host has no such device, or it is being taken back");
    }

    /// <summary>Registers a device, so that users can open it through its group.</summary>
    /// <param name="device">The device.</param>
    /// <param name="group">The group of its function.</param>
    /// <exception cref="VfioException">
    /// EINVAL: registered already, its IOMMU unit is not cache coherent, or the group is another host's or an emulated one; EBUSY: mediated
    /// devices are made of it; the driver's own errors.
    /// </exception>
    public void Register(VfioDevice device, IommuGroup group)
    {
        ArgumentNullException.ThrowIfNull(device);
        ArgumentNullException.ThrowIfNull(group);
        string what = $"registering {device.Name}";
        if (group.Unit.Host != this)
        {
            throw new VfioException(Errno.EINVAL, what, $"{group} belongs to another host");
        }

        if (group.IsEmulated)
        {
            throw new VfioException(Errno.EINVAL, what, $"{group} is the group of an emulated device; such a device brings its own");
        }

        if (!group.Unit.Options.CacheCoherent)
        {
            throw new VfioException(Errno.EINVAL, what, $"{group.Unit} is not coherent with the CPU's caches");
        }

        lock (_registration)
        {
            Enter(what, device, group);
        }

        if (group.IsNoIommu)
        {
            Options.Log?.Invoke($"{device.Name}: registered without an IOMMU; whoever opens it is trusted with the whole machine");
        }
    }

    /// <summary>
    /// Takes a device back: nobody can open it any more; while users have it open they are asked for it again and again. Returns when it
    /// is closed. Never call it from a thread that has to close the device.
    /// </summary>
    /// <param name="device">The device.</param>
    /// <exception cref="VfioException">EINVAL: not registered here.</exception>
    public void Unregister(VfioDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        GroupState state;
        lock (_registration)
        {
            if (device.State is not { } found || found.Group.Unit.Host != this)
            {
                throw new VfioException(Errno.EINVAL, $"unregistering {device.Name}", "it is not registered with this host");
            }

            state = found;
            lock (state.Gate)
            {
                if (!state.Devices.Remove(device))
                {
                    throw new VfioException(Errno.EINVAL, $"unregistering {device.Name}", "somebody else is unregistering it");
                }
            }
        }

        device.WaitUntilClosed(Options.RequestInterval, Options.Time);
        lock (_registration)
        {
            lock (state.Gate)
            {
                if (--state.Registered == 0)
                {
                    state.LeaveContainer();
                    state.IsDead = true;
                    state.Group.Vfio = null;
                }
            }

            device.State = null;
            lock (_gate)
            {
                _devices.Remove(device);
            }

            if (state.Group.IsEmulated)
            {
                _emulated.Forget(state.Group);
            }
        }
    }

    /// <summary>Drops what the host itself keeps. Files that are still open keep what they own until they are closed.</summary>
    public void Dispose() => Mappings.Dispose();

    private void Enter(string what, VfioDevice device, IommuGroup group)
    {
        if (device.State is not null)
        {
            throw new VfioException(Errno.EINVAL, what, "it is registered already");
        }

        if (device.IsMdevParent)
        {
            throw new VfioException(Errno.EBUSY, what, "mediated devices are made of it; unregister the parent first");
        }

        device.CheckRegistration(what);
        device.Registering(group);
        GroupState state = group.Vfio ??= new GroupState(group);
        lock (state.Gate)
        {
            device.State = state;
            device.Log = Options.Log;
            state.Registered++;
            state.Devices.Add(device);
        }

        lock (_gate)
        {
            _devices.Add(device);
        }
    }

    internal int NextGroupNumber() => Interlocked.Increment(ref _nextGroup) - 1;

    internal void Added(IommuGroup group)
    {
        lock (_gate)
        {
            _groups.Add(group.Number, group);
        }
    }

    internal void Removed(IommuGroup group)
    {
        lock (_gate)
        {
            _groups.Remove(group.Number);
        }
    }
}
