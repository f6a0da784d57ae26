using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>IOMMU_DIRTY_PAGES (<c>vfio_iommu_type1_dirty_bitmap</c> of linux/vfio.h); what follows the flags is only there to read a bitmap.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDirtyPages
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 8;

    /// <summary>Length of the structure in bytes, needed to read a bitmap.</summary>
    public const int Length = 48;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioDirtyPagesFlags Flags;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Size in bytes.</summary>
    public ulong RangeSize;

    /// <summary>Receives the bits.</summary>
    public VfioBitmap Bitmap;
}
