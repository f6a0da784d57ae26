namespace Penstock.Specs.Vfio;

/// <summary><c>VFIO_REGION_INFO_FLAG_*</c> of linux/vfio.h.</summary>
[Flags]
public enum VfioRegionFlags : uint
{
    /// <summary>The region is absent.</summary>
    None = 0,

    /// <summary>Reads are possible.</summary>
    Read = 1,

    /// <summary>Writes are possible.</summary>
    Write = 2,

    /// <summary>Mapping is possible.</summary>
    Mmap = 4,

    /// <summary>Capabilities follow the structure.</summary>
    Caps = 8,
}
