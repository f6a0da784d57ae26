namespace Penstock.Specs.Vfio;

/// <summary>Requests of a container (linux/vfio.h); an iommufd that is used as one answers all but the last.</summary>
public enum VfioContainerRequest : uint
{
    /// <summary>Version of the interface.</summary>
    GetApiVersion = 0x3b64,

    /// <summary>Whether an extension is there.</summary>
    CheckExtension = 0x3b65,

    /// <summary>Chooses the type.</summary>
    SetIommu = 0x3b66,

    /// <summary>What can be mapped.</summary>
    GetInfo = 0x3b70,

    /// <summary>Maps.</summary>
    MapDma = 0x3b71,

    /// <summary>Unmaps.</summary>
    UnmapDma = 0x3b72,

    /// <summary>Tracks dirty pages.</summary>
    DirtyPages = 0x3b75,
}
