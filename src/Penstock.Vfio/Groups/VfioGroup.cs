using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// An opened group file: the way from an IOMMU group to a container and to its devices. While device files opened through it exist, closing it
/// takes effect only with the last of them. All members may be called from any thread.
/// </summary>
public sealed partial class VfioGroup : VfioFile
{
    private readonly GroupState _state;
    private readonly Caller _caller;
    private readonly IUserAddressSpace _memory;
    private readonly IUserFiles _files;
    private int _references = 1;
    private bool _closed;

    internal VfioGroup(GroupState state, Caller caller, IUserAddressSpace memory, IUserFiles files)
    {
        _state = state;
        _caller = caller;
        _memory = memory;
        _files = files;
    }

    /// <summary>Number of the group.</summary>
    public int Number => _state.Group.Number;

    /// <summary>Who opened it.</summary>
    public Caller Caller => _caller;

    /// <inheritdoc/>
    public override IommuGroup? Group => _state.IsDead ? null : _state.Group;

    /// <inheritdoc/>
    public override bool IsEnforcedCoherent
    {
        get
        {
            lock (_state.Gate)
            {
                return _state.Devices.TrueForAll(static d => d.IsEnforcedCoherent);
            }
        }
    }

    /// <summary>GROUP_GET_STATUS.</summary>
    /// <returns>The flags.</returns>
    /// <exception cref="VfioException">ENODEV: the group's last device has gone; EBADF: closed.</exception>
    public VfioGroupFlags GetStatus()
    {
        lock (_state.Gate)
        {
            ThrowIfClosed("GROUP_GET_STATUS");
            ThrowIfDead("GROUP_GET_STATUS");
            return _state.Container is not null || _state.Iommufd is not null ? VfioGroupFlags.Viable | VfioGroupFlags.ContainerSet
                : _state.Group.IsClaimed ? VfioGroupFlags.None
                : VfioGroupFlags.Viable;
        }
    }

    /// <summary>GROUP_SET_CONTAINER: claims the group's DMA and puts the group into a container.</summary>
    /// <param name="container">The container.</param>
    /// <exception cref="VfioException">
    /// EINVAL: it is in one already, or its ranges do not fit; ENODEV: the group's last device has gone; EPERM: its DMA has another
    /// owner, groups with and without an IOMMU would come together, or it has none and this file's or the container's opener has no raw I/O;
    /// EBADF: this file or the container is closed.
    /// </exception>
    public void SetContainer(VfioContainer container)
    {
        ArgumentNullException.ThrowIfNull(container);
        const string What = "GROUP_SET_CONTAINER";
        lock (_state.Gate)
        {
            ThrowUnlessContainerCanBeSet(What);
            container.Attach(_state.Group, _state, _caller);
            _state.Container = container;
        }
    }

    /// <summary>GROUP_UNSET_CONTAINER. The last group to leave takes the backend and all mappings with it.</summary>
    /// <exception cref="VfioException">EINVAL: it is in none; EBUSY: devices are open; EBADF: closed.</exception>
    public void UnsetContainer()
    {
        const string What = "GROUP_UNSET_CONTAINER";
        lock (_state.Gate)
        {
            ThrowIfClosed(What);
            if (_state.Container is null && _state.Iommufd is null)
            {
                throw new VfioException(Errno.EINVAL, What, $"{_state.Group} is in no container");
            }

            // Devices keep an iommufd by themselves.
            if (_state.ContainerUsers != 0 && _state.Iommufd is null)
            {
                throw new VfioException(Errno.EBUSY, What, $"{_state.ContainerUsers} device files are open; close them first");
            }

            _state.LeaveContainer();
        }
    }

    /// <summary>GROUP_GET_DEVICE_FD. A device can be opened several times.</summary>
    /// <param name="name">Name of a device of the group.</param>
    /// <returns>The device file.</returns>
    /// <exception cref="VfioException">
    /// ENODEV: no such device; EINVAL: no container, or one without a backend; the driver's own errors; EBADF: closed.
    /// </exception>
    public VfioDeviceFile OpenDevice(string name)
    {
        ArgumentNullException.ThrowIfNull(name);
        IHypervisor? ended = null;
        try
        {
            return OpenDevice(name, ref ended);
        }
        finally
        {
            ended?.Release();
        }
    }

    private VfioDeviceFile OpenDevice(string name, ref IHypervisor? ended)
    {
        string what = $"opening {name}";
        lock (_state.Gate)
        {
            ThrowIfClosed(what);
            VfioDevice device = _state.Devices.Find(d => d.Match(name))
                ?? throw new VfioException(Errno.ENODEV, what, $"{_state.Group} has no such device");
            if (_state.Iommufd is { } iommufd)
            {
                return OpenDevice(device, iommufd, ref ended);
            }

            VfioContainer container = _state.Container
                ?? throw new VfioException(Errno.EINVAL, what, $"{_state.Group} is in no container; put it into one first");
            if (container.Backend is null)
            {
                throw new VfioException(Errno.EINVAL, what, "the container has no backend; set an IOMMU type first");
            }

            ThrowUnlessRawIo(what);
            device.AddUser(this, container, ref ended);
            return Opened(device);
        }
    }

    private protected override void Revoke()
    {
        lock (_state.Gate)
        {
            _closed = true;
        }
    }

    /// <summary>The group leaves its container once no device file is open any more.</summary>
    private protected override void Closed()
    {
        lock (_state.Gate)
        {
            Unreference();
        }
    }

    internal void CloseDevice(VfioDevice device)
    {
        IHypervisor? ended = null;
        try
        {
            lock (_state.Gate)
            {
                try
                {
                    device.RemoveUser(_state.Container, () => Unbind(device), ref ended);
                }
                finally
                {
                    _state.ContainerUsers--;
                    Unreference();
                }
            }
        }
        finally
        {
            ended?.Release();
        }
    }

    private void ThrowUnlessContainerCanBeSet(string what)
    {
        ThrowIfClosed(what);
        if (_state.Container is not null || _state.Iommufd is not null)
        {
            throw new VfioException(Errno.EINVAL, what, $"{_state.Group} is in a container already");
        }

        ThrowIfDead(what);
    }

    private void ThrowUnlessRawIo(string what)
    {
        if (_state.Group.IsNoIommu && !_caller.RawIo)
        {
            throw new VfioException(Errno.EPERM, what, $"{_state.Group} has no IOMMU, and the caller lacks CAP_SYS_RAWIO");
        }
    }

    private void Unreference()
    {
        if (--_references == 0)
        {
            try
            {
                _state.LeaveContainer();
            }
            finally
            {
                _state.IsOpen = false;
            }
        }
    }

    private void ThrowIfClosed(string what)
    {
        if (_closed)
        {
            throw new VfioException(Errno.EBADF, what, "the group file is closed");
        }
    }

    private void ThrowIfDead(string what)
    {
        if (_state.IsDead)
        {
            throw new VfioException(Errno.ENODEV, what, $"the last device of {_state.Group} has gone");
        }
    }
}
