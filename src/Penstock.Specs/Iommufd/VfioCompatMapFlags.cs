namespace Penstock.Specs.Iommufd;

/// <summary>Flags of MAP_DMA that an iommufd knows (linux/vfio.h).</summary>
[Flags]
public enum VfioCompatMapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Devices may read.</summary>
    Read = 1,

    /// <summary>Devices may write.</summary>
    Write = 2,
}
