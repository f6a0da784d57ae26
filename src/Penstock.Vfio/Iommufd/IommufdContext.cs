using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>
/// An opened iommufd: a table of objects, from address spaces to devices, that belong together. Closing it destroys everything, once no
/// device and no access is bound to it any more. All members may be called from any thread.
/// </summary>
public sealed partial class IommufdContext : IDisposable
{
    private readonly List<IommufdObject?> _objects = [];
    private readonly Dictionary<IommuGroup, IommufdGroup> _groups = [];
    private Ioas? _compat;
    private int _references = 1;
    private bool _closed;
    private bool _byProcess;

    internal IommufdContext(VfioHost host, Caller caller, IUserAddressSpace memory, IUserFiles files)
    {
        Host = host;
        Caller = caller;
        UserMemory = memory;
        UserFiles = files;
        Container = new IommufdContainer(this);
    }

    /// <summary>The host.</summary>
    public VfioHost Host { get; }

    /// <summary>Who opened it.</summary>
    public Caller Caller { get; }

    /// <summary>Number of pages pinned through it, each counted once for what was mapped first.</summary>
    public ulong PinnedPages { get; internal set; }

    /// <summary>Bytes that its caller has locked as far as they are charged, all its contexts on this host together.</summary>
    public ulong LockedBytes => ulong.CreateSaturating((UInt128)Host.LockedMemory.Charged(Account) * LockedMemoryAccounts.PageSize);

    /// <summary>
    /// Whether locked memory is charged to the process instead of the user (OPTION RLIMIT_MODE).
    /// </summary>
    /// <exception cref="VfioException">Setting: EPERM: the caller lacks CAP_SYS_RESOURCE; EBUSY: an object exists.</exception>
    public bool AccountsByProcess
    {
        get => _byProcess;
        set => SetRlimitMode(value ? 1ul : 0);
    }

    /// <summary>This iommufd as a container.</summary>
    public IommufdContainer Container { get; }

    /// <summary>The address space that stands for a container (VFIO_IOAS); null while there is none.</summary>
    /// <exception cref="VfioException">Setting: ENOENT: destroyed, or of another context.</exception>
    public Ioas? CompatIoas
    {
        get
        {
            lock (Gate)
            {
                return _compat;
            }
        }

        set
        {
            const string What = "VFIO_IOAS SET";
            lock (Gate)
            {
                value?.ThrowIfDestroyed(What);
                _compat = value is null || value.Context == this
                    ? value
                    : throw new VfioException(Errno.ENOENT, What, "the address space belongs to another context");
            }
        }
    }

    internal int ObjectCount => _objects.Count(static o => o is not null);

    /// <summary>Guards everything in the context. Taken after the gates of groups and devices.</summary>
    internal Lock Gate { get; } = new();

    internal IUserAddressSpace UserMemory { get; }

    internal IUserFiles UserFiles { get; }

    internal LockedMemoryAccount Account => _byProcess ? LockedMemoryAccount.OfProcess(Caller) : new(Caller.UserId, null);

    /// <summary>Makes an address space (IOAS_ALLOC).</summary>
    /// <returns>The address space.</returns>
    /// <exception cref="VfioException">EBADF: closed.</exception>
    public Ioas AllocateIoas() => Add(new Ioas(this));

    /// <summary>Makes a queue of page faults (FAULT_QUEUE_ALLOC); its file is open.</summary>
    /// <returns>The queue.</returns>
    /// <exception cref="VfioException">EBADF: closed.</exception>
    public FaultQueue AllocateFaultQueue() => Add(new FaultQueue(this));

    /// <summary>Makes an access for a driver.</summary>
    /// <param name="user">Who pins; null for one that only copies.</param>
    /// <returns>The access, not attached.</returns>
    /// <exception cref="VfioException">EBADF: closed.</exception>
    public IommufdAccess CreateAccess(IIommufdAccessUser? user)
    {
        lock (Gate)
        {
            IommufdAccess access = Add(new IommufdAccess(this, user));
            _references++;
            return access;
        }
    }

    /// <summary>Finds an address space.</summary>
    /// <param name="id">Its id.</param>
    /// <returns>The address space.</returns>
    /// <exception cref="VfioException">ENOENT: no such id, or the id of something else.</exception>
    public Ioas GetIoas(uint id) => Find<Ioas>("using an address space", id);

    /// <summary>Finds a hardware page table.</summary>
    /// <param name="id">Its id.</param>
    /// <returns>The table.</returns>
    /// <exception cref="VfioException">ENOENT: no such id, or the id of something else.</exception>
    public HwPagetable GetHwPagetable(uint id) => Find<HwPagetable>("using a page table", id);

    /// <summary>Destroys an object (DESTROY).</summary>
    /// <param name="id">Its id.</param>
    /// <exception cref="VfioException">
    /// ENOENT: no such id; EBUSY: something uses it; EDEADLK: the calling thread is inside a scope of it.
    /// </exception>
    public void Destroy(uint id)
    {
        string what = $"DESTROY {id}";
        lock (Gate)
        {
            IommufdObject found = Find<IommufdObject>(what, id);
            if (found.Users != 0)
            {
                throw new VfioException(Errno.EBUSY, what, $"{found} is in use; detach or destroy its users first");
            }

            if (found is HwPagetable { Domain.IsEnteredByCaller: true })
            {
                throw new VfioException(Errno.EDEADLK, what, "the calling thread is inside a scope of it; leave it first");
            }

            Remove(found);
        }
    }

    /// <summary>Closes the file. Bound devices and accesses keep the objects until they go.</summary>
    public void Dispose()
    {
        lock (Gate)
        {
            if (!_closed)
            {
                _closed = true;
                Unreference();
            }
        }
    }

    /// <summary>
    /// Binds a device: the context owns its group's DMA, which is blocked until the device is attached. An emulated one gets an access.
    /// </summary>
    internal IIommufdBinding Bind(VfioDevice device, IommuGroup group)
    {
        string name = device.Name;
        string what = $"binding {name}";
        if (group.IsEmulated)
        {
            group.Access = CreateAccess(new DeviceAccessUser(device));
            device.Pinner = group.Access;
            return group.Access;
        }

        lock (Gate)
        {
            ThrowIfClosed(what);
            IommuUnitOptions unit = group.Unit.Options;
            if (!unit.CacheCoherent)
            {
                throw new VfioException(Errno.EINVAL, what, $"{group.Unit} is not coherent with the CPU's caches");
            }

            if (!unit.IsolatedMsi && !Host.Options.AllowUnsafeInterrupts)
            {
                throw new VfioException(Errno.EPERM, what, $"{group.Unit} does not isolate interrupt messages; allow unsafe interrupts if you trust the user");
            }

            group.ClaimDma(this);
            IommufdGroup known = _groups.GetValueOrDefault(group) ?? new IommufdGroup(group);
            IommufdDevice bound;
            try
            {
                bound = Add(new IommufdDevice(this, name, known));
            }
            catch
            {
                group.ReleaseDma(this);
                throw;
            }

            _groups[group] = known;
            known.Bound++;
            _references++;
            return bound;
        }
    }

    internal static void Unbind(IommuGroup group, IIommufdBinding bound)
    {
        if (bound is IommufdAccess access)
        {
            group.Access = null;
            access.Dispose();
        }
        else
        {
            bound.Context.Unbind((IommufdDevice)bound);
        }
    }

    private void Unbind(IommufdDevice device)
    {
        lock (Gate)
        {
            device.DetachPasids();
            device.Detach();
            device.Users--;
            Remove(device);
            Unreference();
        }
    }

    /// <summary>A group uses it as its container: there is an address space for it, and the context stays until <see cref="Put"/>.</summary>
    internal void BecomeContainer(string what, bool withoutIommu)
    {
        lock (Gate)
        {
            if (_closed)
            {
                throw new VfioException(Errno.EBADF, what, "the iommufd is closed");
            }

            if (withoutIommu ? _compat is not null : IsNoIommu)
            {
                throw new VfioException(Errno.EINVAL, what, "groups with and without an IOMMU do not go together; use another iommufd");
            }

            IsNoIommu = withoutIommu;
            _compat ??= withoutIommu ? null : AllocateIoas();
            _references++;
        }
    }

    /// <summary>Whether groups without an IOMMU use it as their container; it then has no address space for containers.</summary>
    internal bool IsNoIommu { get; private set; }

    internal void Put()
    {
        lock (Gate)
        {
            Unreference();
        }
    }

    internal Ioas RequireCompat(RangeCall what) =>
        CompatIoas ?? throw new VfioException(Errno.ENODEV, what, "no address space stands for the container; put a group in or set one");

    internal T Find<T>(string what, uint id)
        where T : IommufdObject
    {
        lock (Gate)
        {
            ThrowIfClosed(what);
            return id != 0 && id <= (uint)_objects.Count && _objects[(int)id - 1] is T found
                ? found
                : throw new VfioException(Errno.ENOENT, what, $"there is no {typeof(T).Name} {id}");
        }
    }

    internal T Add<T>(T added)
        where T : IommufdObject
    {
        lock (Gate)
        {
            ThrowIfClosed("making an object");
            Host.Allocations.Ask("making an object");
            int free = _objects.IndexOf(null);
            if (free < 0)
            {
                free = _objects.Count;
                _objects.Add(null);
            }

            _objects[free] = added;
            added.Id = (uint)free + 1;
            return added;
        }
    }

    /// <summary>Fills a new page table from its address space and makes it an object.</summary>
    internal void AddTable(string what, PagingHwPagetable table)
    {
        table.Ioas.AddTable(what, table);
        table.Ioas.Users++;
        try
        {
            Add(table);
        }
        catch
        {
            table.Ioas.Users--;
            table.Ioas.RemoveTable(table);
            throw;
        }
    }

    internal void Remove(IommufdObject removed)
    {
        _objects[(int)removed.Id - 1] = null;
        removed.IsDestroyed = true;
        if (removed == _compat)
        {
            _compat = null;
        }

        removed.Destroyed();
    }

    internal void ForEachIoas(Action<Ioas> action)
    {
        foreach (Ioas ioas in _objects.OfType<Ioas>())
        {
            action(ioas);
        }
    }

    internal void Forget(IommufdGroup group) => _groups.Remove(group.Group);

    internal void Unreference()
    {
        if (--_references == 0)
        {
            foreach (IommufdObject left in _objects.OfType<IommufdObject>().OrderBy(o => o.DestroyOrder).ToArray())
            {
                Remove(left);
            }
        }
    }

    internal void SetRlimitMode(ulong mode)
    {
        const string What = "OPTION RLIMIT_MODE";
        lock (Gate)
        {
            ThrowIfClosed(What);
            if (!Caller.Resources)
            {
                throw new VfioException(Errno.EPERM, What, "the caller lacks CAP_SYS_RESOURCE");
            }

            if (_objects.Exists(o => o is not null))
            {
                throw new VfioException(Errno.EBUSY, What, "objects exist; set it on a fresh context");
            }

            _byProcess = mode <= 1 ? mode == 1 : throw new VfioException(Errno.EINVAL, What, $"there is no mode {mode}");
        }
    }

    private void ThrowIfClosed(string what)
    {
        // A context that is kept by its devices still has to let go of their objects.
        if (_references == 0)
        {
            throw new VfioException(Errno.EBADF, what, "the iommufd is closed");
        }
    }
}
