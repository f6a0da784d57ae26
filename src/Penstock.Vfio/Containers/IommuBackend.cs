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

    /// <summary>Addresses that can be mapped, ascending; none when nothing limits them.</summary>
    public virtual IReadOnlyList<IovaRange> IovaRanges => [];

    /// <summary>The container's lock; null while there is no container.</summary>
    internal Lock? ContainerLock { get; set; }

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

    /// <summary>A request that only the backend understands, with the kernel's structure, which is answered in place.</summary>
    /// <param name="request">The number.</param>
    /// <param name="argument">The structure.</param>
    /// <param name="caller">Who asks.</param>
    /// <param name="memory">What addresses in the structure mean.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">ENOTTY: the backend does not know it; its own errors.</exception>
    public virtual int Ioctl(uint request, Span<byte> argument, Caller caller, IUserAddressSpace memory) => throw Unknown($"request 0x{request:x}");

    /// <summary>MAP_DMA.</summary>
    /// <param name="request">What is to be mapped.</param>
    public virtual void Map(in DmaMapRequest request) => throw Unknown("MAP_DMA");

    /// <summary>MAP_DMA with VADDR: the memory of a mapping, which was taken away before, is found at another place from now on.</summary>
    /// <param name="request">The mapping and the place.</param>
    public virtual void UpdateVaddr(in DmaMapRequest request) => throw Unknown("MAP_DMA with VADDR");

    /// <summary>UNMAP_DMA.</summary>
    /// <param name="request">What is to be removed.</param>
    /// <returns>Bytes removed.</returns>
    public virtual ulong Unmap(in DmaUnmapRequest request) => throw Unknown("UNMAP_DMA");

    /// <summary>DIRTY_PAGES with START or STOP.</summary>
    /// <param name="enable">Whether to track.</param>
    public virtual void SetDirtyTracking(bool enable) => throw Unknown("DIRTY_PAGES");

    /// <summary>DIRTY_PAGES with GET.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Size in bytes.</param>
    /// <param name="bitmap">Receives what is dirty.</param>
    public virtual void GetDirtyPages(ulong iova, ulong size, in DirtyBitmap bitmap) => throw Unknown("DIRTY_PAGES");

    /// <summary>Pins pages for a device.</summary>
    /// <param name="device">An open device of an attached group.</param>
    /// <param name="iova">I/O address of the first page.</param>
    /// <param name="count">How many.</param>
    /// <param name="access">What the device will do.</param>
    /// <param name="pages">Receives them.</param>
    /// <returns>None, or the error; then nothing stays pinned.</returns>
    public virtual Errno Pin(VfioDevice device, ulong iova, int count, DmaAccess access, Span<PinnedPage> pages) => Errno.ENOTTY;

    /// <summary>Drops pins.</summary>
    /// <param name="device">Who has them.</param>
    /// <param name="iova">I/O address of the first page.</param>
    /// <param name="count">How many pages.</param>
    /// <returns>Whether all of them were there.</returns>
    public virtual bool Unpin(VfioDevice device, ulong iova, int count) => false;

    /// <summary>Finds memory for a copy that a driver makes, not a device.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="length">How much is wanted, at least 1.</param>
    /// <param name="access">What will be done.</param>
    /// <param name="held">The memory; it may be shorter than wanted.</param>
    /// <returns>None, or the error.</returns>
    public virtual Errno Find(ulong iova, ulong length, DmaAccess access, out HeldMemory held)
    {
        held = default;
        return Errno.ENOTTY;
    }

    /// <summary>A driver has written.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="length">How much, in one mapping.</param>
    public virtual void Written(ulong iova, ulong length)
    {
    }

    /// <summary>A device of an attached group is opened for the first time.</summary>
    /// <param name="device">The device.</param>
    public virtual void DeviceOpened(VfioDevice device)
    {
    }

    /// <summary>It is closed for the last time; what it still has pinned is dropped.</summary>
    /// <param name="device">The device.</param>
    public virtual void DeviceClosed(VfioDevice device)
    {
    }

    private static VfioException Unknown(string call) => new(Errno.ENOTTY, call, "the container's backend does not know this request");
}
