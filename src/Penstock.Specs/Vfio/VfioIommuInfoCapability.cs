namespace Penstock.Specs.Vfio;

/// <summary>Capabilities in the answer to IOMMU_GET_INFO (<c>VFIO_IOMMU_TYPE1_INFO_CAP_*</c> of linux/vfio.h).</summary>
public static class VfioIommuInfoCapability
{
    /// <summary>Version of all of them.</summary>
    public const ushort Version = 1;

    /// <summary>Usable addresses: a count, 4 bytes of padding, then ranges.</summary>
    public const ushort IovaRanges = 1;

    /// <summary>What dirty tracking can do: <see cref="VfioIommuInfoMigration"/>.</summary>
    public const ushort Migration = 2;

    /// <summary>How many mappings are left.</summary>
    public const ushort DmaAvailable = 3;
}
