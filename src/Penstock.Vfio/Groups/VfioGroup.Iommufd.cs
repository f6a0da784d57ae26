using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>An iommufd in the place of a container.</content>
public sealed partial class VfioGroup
{
    /// <summary>
    /// GROUP_SET_CONTAINER with an iommufd, which gets an address space for its containers' calls unless it has one. Devices are bound and
    /// attached to that address space when they are opened.
    /// </summary>
    /// <param name="context">The iommufd.</param>
    /// <exception cref="VfioException">
    /// EINVAL: the group has a container already, or the iommufd serves groups of the other kind, with or without an IOMMU; ENODEV: its
    /// last device has gone; EBADF: this file or the iommufd is closed.
    /// </exception>
    public void SetContainer(IommufdContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        const string What = "GROUP_SET_CONTAINER";
        lock (_state.Gate)
        {
            ThrowUnlessContainerCanBeSet(What);
            context.BecomeContainer(What, _state.Group.IsNoIommu);
            _state.Iommufd = context;
        }
    }

    private VfioDeviceFile OpenDevice(VfioDevice device, IommufdContext context, ref IHypervisor? ended)
    {
        if (_state.Group.IsNoIommu)
        {
            // There is nothing to bind or to attach. An address space in the way would be believed to protect something.
            string what = $"opening {device.Name}";
            ThrowUnlessRawIo(what);
            if (context.CompatIoas is not null)
            {
                throw new VfioException(Errno.EPERM, what, "the iommufd has an address space for containers, and the device has no IOMMU");
            }

            device.AddUser(this, static () => { }, static () => { }, static () => { }, ref ended);
            return Opened(device);
        }

        device.AddUser(
            this,
            () => _state.Bindings.Add(device, context.Bind(device, _state.Group)),
            () => _state.Bindings[device].Attach(context.RequireCompat($"opening {device.Name}").Id),
            () => Unbind(device),
            ref ended);
        return Opened(device);
    }

    private VfioDeviceFile Opened(VfioDevice device)
    {
        _state.ContainerUsers++;
        _references++;
        return new VfioDeviceFile(device, this, _memory, _files);
    }

    private void Unbind(VfioDevice device)
    {
        if (_state.Bindings.Remove(device, out IIommufdBinding? bound))
        {
            IommufdContext.Unbind(_state.Group, bound);
        }
    }
}
