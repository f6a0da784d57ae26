using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A device opened by itself, without its group. Nothing can be done with it before it is bound to an iommufd; from then on
/// its calls work, EINVAL each before, and the group cannot be opened. All members may be called from any thread.
/// </summary>
public sealed partial class VfioCdevFile : VfioDeviceFile
{
    private readonly GroupState _state;
    private IIommufdBinding? _bound;
    private bool _closed;

    internal VfioCdevFile(VfioDevice device, GroupState state, Caller caller, IUserAddressSpace memory, IUserFiles files)
        : base(device, group: null, memory, files)
    {
        _state = state;
        Caller = caller;
    }

    /// <summary>Who opened it.</summary>
    public Caller Caller { get; }

    /// <summary>The binding of a real device; null while there is none.</summary>
    public IommufdDevice? Binding => Bound as IommufdDevice;

    /// <summary>The binding of an emulated device, which has an access instead; null while there is none.</summary>
    public IommufdAccess? Access => Bound as IommufdAccess;

    private IIommufdBinding? Bound
    {
        get
        {
            lock (_state.Gate)
            {
                return _bound;
            }
        }
    }

    /// <summary>Binds the device to an iommufd and opens it (BIND_IOMMUFD).</summary>
    /// <param name="context">The iommufd.</param>
    /// <returns>Id of the device in it.</returns>
    /// <exception cref="VfioException">
    /// EBUSY: the group is open; EINVAL: bound already, also by another file, or its IOMMU is not coherent; EPERM: interrupts are not
    /// isolated, or the group's DMA has another owner; ENODEV: the device is gone; EBADF: closed; the driver's own errors.
    /// </exception>
    public uint Bind(IommufdContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        return Bind(_ => context, static _ => { });
    }

    /// <summary>Attaches the device to an address space or page table, or moves it there (ATTACH_IOMMUFD_PT).</summary>
    /// <param name="id">Id of the address space or page table; an emulated device takes address spaces only.</param>
    /// <returns>Id of the page table; for an emulated device that of the address space.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: not bound; as <see cref="IommufdDevice.Attach"/>, for an emulated device as <see cref="IommufdAccess.Attach"/>.
    /// </exception>
    public uint Attach(uint id)
    {
        lock (_state.Gate)
        {
            IIommufdBinding bound = RequireBound("ATTACH_IOMMUFD_PT");
            return bound.IsAttached ? bound.Replace(id) : bound.Attach(id);
        }
    }

    /// <summary>Attaches DMA with a PASID to a page table, or moves it there (ATTACH_IOMMUFD_PT with the flag PASID).</summary>
    /// <param name="id">Id of a page table that was made for it.</param>
    /// <param name="pasid">The PASID.</param>
    /// <returns>The id.</returns>
    /// <exception cref="VfioException">EOPNOTSUPP: the device takes none; EINVAL: not bound; as <see cref="IommufdDevice.AttachPasid"/>.</exception>
    public uint AttachPasid(uint id, uint pasid)
    {
        lock (_state.Gate)
        {
            IommufdDevice bound = RequirePasids("ATTACH_IOMMUFD_PT");
            return bound.HasPasid(pasid) ? bound.ReplacePasid(pasid, id) : bound.AttachPasid(pasid, id);
        }
    }

    /// <summary>Detaches DMA with a PASID; without effect when not attached.</summary>
    /// <param name="pasid">The PASID.</param>
    /// <exception cref="VfioException">EOPNOTSUPP: the device takes none; EINVAL: not bound.</exception>
    public void DetachPasid(uint pasid)
    {
        lock (_state.Gate)
        {
            RequirePasids("DETACH_IOMMUFD_PT").DetachPasid(pasid);
        }
    }

    /// <summary>Detaches the device (DETACH_IOMMUFD_PT); without effect when not attached.</summary>
    /// <exception cref="VfioException">EINVAL: not bound.</exception>
    public void Detach()
    {
        lock (_state.Gate)
        {
            RequireBound("DETACH_IOMMUFD_PT").Detach();
        }
    }

    /// <summary>The call's checks in order; the context is looked up, and the answer given, at their places among them.</summary>
    internal uint Bind(Func<string, IommufdContext> find, Action<uint> answer)
    {
        IHypervisor? ended = null;
        try
        {
            return Bind(find, answer, ref ended);
        }
        finally
        {
            ended?.Release();
        }
    }

    private protected override void Revoke()
    {
        base.Revoke();
        lock (_state.Gate)
        {
            _closed = true;
        }
    }

    /// <summary>The device is closed, detached and unbound.</summary>
    private protected override void Closed()
    {
        IHypervisor? ended = null;
        try
        {
            lock (_state.Gate)
            {
                if (_bound is not { } bound)
                {
                    return;
                }

                _bound = null;
                try
                {
                    Device.RemoveUser(null, () => IommufdContext.Unbind(_state.Group, bound), ref ended);
                }
                finally
                {
                    _state.CdevUsers--;
                }
            }
        }
        finally
        {
            Device.RemoveNode();
            ended?.Release();
        }
    }

    private uint Bind(Func<string, IommufdContext> find, Action<uint> answer, ref IHypervisor? ended)
    {
        string what = $"BIND_IOMMUFD of {Device.Name}";
        lock (_state.Gate)
        {
            if (_closed)
            {
                throw new VfioException(Errno.EBADF, what, "the file is closed");
            }

            if (_state.IsOpen)
            {
                throw new VfioException(Errno.EBUSY, what, $"{_state.Group} is open; close its file first");
            }

            if (_bound is not null)
            {
                throw new VfioException(Errno.EINVAL, what, "it is bound already");
            }

            if (_state.IsDead || !_state.Devices.Contains(Device))
            {
                throw new VfioException(Errno.ENODEV, what, "the device is being taken back");
            }

            IommufdContext context = find(what);
            IIommufdBinding? bound = null;
            Device.AddSoleUser(what, this, () => bound = context.Bind(Device, _state.Group), () => IommufdContext.Unbind(_state.Group, bound!), ref ended);
            try
            {
                answer(bound!.Id);
            }
            catch
            {
                Device.RemoveUser(null, () => IommufdContext.Unbind(_state.Group, bound!), ref ended);
                throw;
            }

            _bound = bound;
            _state.CdevUsers++;
            Grant();
            return bound.Id;
        }
    }

    private IIommufdBinding RequireBound(string what) =>
        _bound ?? throw new VfioException(Errno.EINVAL, what, $"{Device.Name} is not bound to an iommufd");

    private IommufdDevice RequirePasids(string what)
    {
        IIommufdBinding bound = RequireBound(what);
        return Device.TakesPasids && bound is IommufdDevice device
            ? device
            : throw new VfioException(Errno.EOPNOTSUPP, what, $"{Device.Name} takes no PASIDs");
    }
}
