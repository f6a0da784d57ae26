namespace Penstock.Specs.Iommufd;

/// <summary>Capabilities in the answer to GET_INFO of a container that is an iommufd (linux/vfio.h).</summary>
public static class VfioCompatCapability
{
    /// <summary>Version of both.</summary>
    public const ushort Version = 1;

    /// <summary>Usable addresses: a count, 4 bytes of padding, then ranges.</summary>
    public const ushort IovaRanges = 1;

    /// <summary>How many mappings are left.</summary>
    public const ushort DmaAvailable = 3;
}
