namespace Penstock.Specs.Vfio;

/// <summary>Capabilities in the answer to GET_REGION_INFO (<c>VFIO_REGION_INFO_CAP_*</c> of linux/vfio.h).</summary>
public static class VfioRegionCapability
{
    /// <summary>Only some areas can be mapped: their number, padding of 4 bytes, then offset and size of each.</summary>
    public const ushort SparseMmap = 1;

    /// <summary>Kind of a region that only this device has: type and subtype, 4 bytes each.</summary>
    public const ushort Type = 2;

    /// <summary>A mapping of the region may cover the MSI-X table.</summary>
    public const ushort MsixMappable = 3;

    /// <summary>Version of all of them.</summary>
    public const ushort Version = 1;
}
