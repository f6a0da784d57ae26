namespace Penstock.Specs.Vfio;

/// <summary>Flags of IOMMU_DIRTY_PAGES (<c>VFIO_IOMMU_DIRTY_PAGES_FLAG_*</c> of linux/vfio.h); exactly one is given.</summary>
[Flags]
public enum VfioDirtyPagesFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Starts tracking.</summary>
    Start = 1,

    /// <summary>Stops tracking.</summary>
    Stop = 2,

    /// <summary>Reads and clears what is dirty.</summary>
    GetBitmap = 4,
}
