using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// An opened container file: an I/O address space that is empowered by the groups in it. Its backend, with all mappings, lives until the last
/// group leaves; closing the file alone changes nothing for groups and devices. All members may be called from any thread.
/// </summary>
public sealed partial class VfioContainer : IDisposable
{
    /// <summary>GET_API_VERSION.</summary>
    public const int ApiVersion = 0;

    private readonly Lock _gate = new();
    private readonly List<IommuGroup> _groups = [];
    private IommuBackend? _backend;
    private bool _closed;

    internal VfioContainer(VfioHost host, Caller caller, IUserAddressSpace memory, IUserFiles files)
    {
        Host = host;
        Caller = caller;
        UserMemory = memory;
        UserFiles = files;
    }

    /// <summary>The host.</summary>
    public VfioHost Host { get; }

    /// <summary>Who opened it.</summary>
    public Caller Caller { get; }

    /// <summary>Whether it has a backend.</summary>
    public bool HasBackend
    {
        get
        {
            lock (_gate)
            {
                return _backend is not null;
            }
        }
    }

    /// <summary>Page sizes that can be mapped, one bit each.</summary>
    /// <exception cref="VfioException">EINVAL: no backend; EBADF: closed.</exception>
    public ulong PageSizes => WithBackend(static b => b.PageSizes);

    /// <summary>How many more mappings are possible.</summary>
    /// <exception cref="VfioException">EINVAL: no backend; EBADF: closed.</exception>
    public int AvailableMappings => WithBackend(static b => b.AvailableMappings);

    /// <summary>Addresses that can be mapped, ascending.</summary>
    /// <exception cref="VfioException">EINVAL: no backend; EBADF: closed.</exception>
    public IReadOnlyList<IovaRange> IovaRanges => WithBackend(static b => b.IovaRanges);

    internal IUserAddressSpace UserMemory { get; }

    internal IUserFiles UserFiles { get; }

    internal IommuBackend? Backend => _backend;

    internal bool IsClosed => Volatile.Read(ref _closed);

    /// <summary>CHECK_EXTENSION: asks the backend, or without one every driver of the host.</summary>
    /// <param name="extension">The extension.</param>
    /// <returns>Whether it is there; false for unknown numbers.</returns>
    /// <exception cref="VfioException">EBADF: closed.</exception>
    public bool CheckExtension(VfioIommuType extension)
    {
        lock (_gate)
        {
            ThrowIfClosed();
            return _backend?.Reports(extension) ?? Host.BackendDrivers.Any(d => d.Reports(extension) && (_groups.Count == 0 || IsAllowed(d)));
        }
    }

    /// <summary>SET_IOMMU: gives the container a backend.</summary>
    /// <param name="type">Its type.</param>
    /// <exception cref="VfioException">
    /// EINVAL: no group is attached, or there is a backend already; ENODEV: no driver offers the type; otherwise the error of the last
    /// driver that tried.
    /// </exception>
    public void SetIommu(VfioIommuType type)
    {
        lock (_gate)
        {
            ThrowIfClosed();
            string what = $"SET_IOMMU {type}";
            if (_groups.Count == 0)
            {
                throw new VfioException(Errno.EINVAL, what, "the container has no group; put one in first");
            }

            if (_backend is not null)
            {
                throw new VfioException(Errno.EINVAL, what, "the container has a backend already");
            }

            VfioException? last = null;
            foreach (IommuBackendDriver driver in Host.BackendDrivers.Where(d => d.Reports(type) && IsAllowed(d)))
            {
                try
                {
                    _backend = Start(driver, type);
                    return;
                }
                catch (VfioException e)
                {
                    last = e;
                }
            }

            throw last ?? new VfioException(Errno.ENODEV, what, "no backend of this host offers it");
        }
    }

    /// <summary>Closes the file. Groups stay in the container, and with them the backend and its mappings.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            _closed = true;
        }
    }

    internal void Attach(IommuGroup group, object owner, Caller caller)
    {
        string what = $"putting {group} into a container";
        lock (_gate)
        {
            if (_closed)
            {
                throw new VfioException(Errno.EBADF, what, "the container is closed");
            }

            if (group.IsNoIommu && !(caller.RawIo && Caller.RawIo))
            {
                throw new VfioException(Errno.EPERM, what, "it has no IOMMU, and whoever opened the group or the container lacks CAP_SYS_RAWIO");
            }

            if (_groups.Count != 0 && _groups[0].IsNoIommu != group.IsNoIommu)
            {
                throw new VfioException(Errno.EPERM, what, "groups with and without an IOMMU do not go together; use another container");
            }

            group.ClaimDma(owner);
            try
            {
                _backend?.AttachGroup(group);
            }
            catch
            {
                group.ReleaseDma(owner);
                throw;
            }

            _groups.Add(group);
        }
    }

    internal void Detach(IommuGroup group, object owner)
    {
        lock (_gate)
        {
            try
            {
                _backend?.DetachGroup(group);
            }
            finally
            {
                // Whatever a backend makes of it, the group is nobody's now.
                group.ReleaseDma(owner);
                _groups.Remove(group);
                if (_groups.Count == 0 && _backend is { } backend)
                {
                    _backend = null;
                    backend.Release();
                }
            }
        }
    }

    internal void DeviceOpened(VfioDevice device)
    {
        lock (_gate)
        {
            RequireBackend($"opening {device.Name}", evenIfClosed: true).DeviceOpened(device);
            device.Pinner = this;
        }
    }

    internal void DeviceClosed(VfioDevice device)
    {
        lock (_gate)
        {
            device.Pinner = null;
            _backend?.DeviceClosed(device);
        }
    }

    /// <summary>Groups without an IOMMU get the backend for them and no other; the first group decides for the container.</summary>
    private bool IsAllowed(IommuBackendDriver driver) => _groups[0].IsNoIommu == driver is NoIommuDriver;

    private IommuBackend Start(IommuBackendDriver driver, VfioIommuType type)
    {
        IommuBackend backend = driver.Open(Host, type, Caller);
        backend.ContainerLock = _gate;
        int attached = 0;
        try
        {
            for (; attached < _groups.Count; attached++)
            {
                backend.AttachGroup(_groups[attached]);
            }

            return backend;
        }
        catch
        {
            while (attached-- > 0)
            {
                backend.DetachGroup(_groups[attached]);
            }

            backend.Release();
            throw;
        }
    }

    private T WithBackend<T>(Func<IommuBackend, T> ask)
    {
        lock (_gate)
        {
            return ask(RequireBackend("GET_INFO"));
        }
    }

    private IommuBackend RequireBackend(string what, bool evenIfClosed = false)
    {
        if (!evenIfClosed)
        {
            ThrowIfClosed();
        }

        return _backend ?? throw new VfioException(Errno.EINVAL, what, "the container has no backend; attach a group and set an IOMMU type first");
    }

    private void ThrowIfClosed()
    {
        if (_closed)
        {
            throw new VfioException(Errno.EBADF, "container call", "the container is closed");
        }
    }
}
