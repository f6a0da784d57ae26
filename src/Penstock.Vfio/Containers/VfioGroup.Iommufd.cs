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
    /// EINVAL: the group has a container already; ENODEV: its last device has gone; EBADF: this file or the iommufd is closed.
    /// </exception>
    public void SetContainer(IommufdContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        const string What = "GROUP_SET_CONTAINER";
        lock (_state.Gate)
        {
            ThrowUnlessContainerCanBeSet(What);
            context.BecomeContainer(What);
            _state.Iommufd = context;
        }
    }

    private VfioDeviceFile OpenDevice(VfioDevice device, IommufdContext context, ref IHypervisor? ended)
    {
        device.AddUser(
            this,
            () => _state.Bindings.Add(device, context.Bind(device, _state.Group)),
            () => _state.Bindings[device].Attach(context.RequireCompat($"opening {device.Name}").Id),
            () => Unbind(device),
            ref ended);
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
