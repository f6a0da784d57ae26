namespace Penstock.Vfio;

/// <summary>
/// The VFIO side of an IOMMU group, from the registration of its first device until that of its last one ends. A file that is open
/// longer finds it dead. Lock order: this gate, then a device's, then a container's.
/// </summary>
internal sealed class GroupState
{
    internal GroupState(IommuGroup group) => Group = group;

    internal object Gate { get; } = new();

    internal IommuGroup Group { get; }

    /// <summary>Devices that can be opened.</summary>
    internal List<VfioDevice> Devices { get; } = [];

    /// <summary>Devices registered, those included that are about to leave.</summary>
    internal int Registered { get; set; }

    internal bool IsDead { get; set; }

    internal bool IsOpen { get; set; }

    /// <summary>Devices of the group that are bound to an iommufd; while there is one, the group cannot be opened.</summary>
    internal int CdevUsers { get; set; }

    internal VfioContainer? Container { get; set; }

    /// <summary>The iommufd that the group uses as its container; never together with <see cref="Container"/>.</summary>
    internal IommufdContext? Iommufd { get; set; }

    /// <summary>Bindings of devices that were opened through the group with an iommufd.</summary>
    internal Dictionary<VfioDevice, IIommufdBinding> Bindings { get; } = [];

    /// <summary>Open device files that use the container.</summary>
    internal int ContainerUsers { get; set; }

    /// <summary>Takes the group out of its container, if it is in one. The gate is held.</summary>
    /// <exception cref="VfioException">EDEADLK: the calling thread is inside a scope of its domain, and nothing has changed; otherwise it is out.</exception>
    internal void LeaveContainer()
    {
        if (Container is { } container)
        {
            if (Group.Domain is { IsEnteredByCaller: true })
            {
                throw new VfioException(Interop.Errno.EDEADLK, $"taking {Group} out of a container", "the calling thread is inside a scope of its address space; leave it first");
            }

            Container = null;
            container.Detach(Group, this);
        }

        if (Iommufd is { } iommufd)
        {
            Iommufd = null;
            iommufd.Put();
        }
    }
}
