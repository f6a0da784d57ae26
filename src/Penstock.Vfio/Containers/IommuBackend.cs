using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// The state behind a container: mappings and the domains of the attached groups. It lives from SET_IOMMU until the last group is
/// detached. All members are called one at a time, under the container's lock.
/// </summary>
public abstract class IommuBackend
{
    /// <summary>Page sizes that can be mapped, one bit each.</summary>
    public virtual ulong PageSizes => 0;

    /// <summary>How many more mappings are possible.</summary>
    public virtual int AvailableMappings => 0;

    /// <summary>Addresses that can be mapped, ascending.</summary>
    public virtual IReadOnlyList<IovaRange> IovaRanges => [];

    /// <summary>CHECK_EXTENSION.</summary>
    /// <param name="extension">The extension.</param>
    /// <returns>Whether the backend has it.</returns>
    public abstract bool Reports(VfioIommuType extension);

    /// <summary>Attaches a group, whose DMA the container's user owns.</summary>
    /// <param name="group">The group.</param>
    /// <exception cref="VfioException">It cannot be attached; nothing has changed.</exception>
    public abstract void AttachGroup(IommuGroup group);

    /// <summary>Detaches a group; its DMA is blocked when this returns.</summary>
    /// <param name="group">An attached group.</param>
    public abstract void DetachGroup(IommuGroup group);

    /// <summary>The last group has been detached: gives everything back.</summary>
    public abstract void Release();

    /// <summary>MAP_DMA.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="access">What devices may do.</param>
    /// <param name="memory">The memory.</param>
    /// <param name="memoryOffset">Offset in the memory.</param>
    public virtual void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) => throw Unknown("MAP_DMA");

    /// <summary>UNMAP_DMA.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="all">Everything; address and size are 0.</param>
    /// <returns>Bytes removed.</returns>
    public virtual ulong Unmap(ulong iova, ulong size, bool all) => throw Unknown("UNMAP_DMA");

    /// <summary>A device of an attached group is opened for the first time.</summary>
    /// <param name="device">The device.</param>
    public virtual void DeviceOpened(VfioDevice device)
    {
    }

    /// <summary>It is closed for the last time.</summary>
    /// <param name="device">The device.</param>
    public virtual void DeviceClosed(VfioDevice device)
    {
    }

    private static VfioException Unknown(string call) => new(Errno.ENOTTY, call, "the container's backend does not know this request");
}
