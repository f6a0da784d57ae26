namespace Penstock.Specs.Iommufd;

/// <summary>Flags of UNMAP_DMA that an iommufd knows (linux/vfio.h).</summary>
[Flags]
public enum VfioCompatUnmapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Everything.</summary>
    All = 2,
}
