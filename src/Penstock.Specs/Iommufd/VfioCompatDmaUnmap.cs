using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>UNMAP_DMA (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioCompatDmaUnmap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioCompatUnmapFlags Flags;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Size in bytes; receives what was removed.</summary>
    public ulong UnmapSize;
}
