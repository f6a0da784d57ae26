using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>The migration capability in the answer to IOMMU_GET_INFO (<c>vfio_iommu_type1_info_cap_migration</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioIommuInfoMigration
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Largest bitmap that one request or mapping may have, in bytes.</summary>
    public const ulong LargestBitmap = 0x1000_0000;

    /// <summary>Start of the capability.</summary>
    public VfioInfoCapHeader Header;

    /// <summary>0.</summary>
    public uint Flags;

    /// <summary>0.</summary>
    public uint Padding;

    /// <summary>Page sizes that bitmaps can have, one bit each.</summary>
    public ulong PageSizes;

    /// <summary>Largest bitmap in bytes.</summary>
    public ulong MaximumBitmap;
}
