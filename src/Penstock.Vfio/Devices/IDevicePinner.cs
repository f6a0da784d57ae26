using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>What stands behind the memory calls of an open device: the container or iommufd that it was opened with.</summary>
internal interface IDevicePinner
{
    /// <summary>Pins pages; on an error nothing stays pinned.</summary>
    Errno Pin(VfioDevice device, ulong iova, int count, DmaAccess access, Span<PinnedPage> pages);

    /// <summary>Drops pins.</summary>
    /// <returns>Whether all of them were there.</returns>
    bool Unpin(VfioDevice device, ulong iova, int count);

    /// <summary>Copies at least one byte, in the direction that a device would.</summary>
    Errno Copy(ulong iova, Span<byte> data, DmaAccess access);
}
