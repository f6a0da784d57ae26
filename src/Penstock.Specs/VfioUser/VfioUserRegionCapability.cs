namespace Penstock.Specs.VfioUser;

/// <summary>Capabilities of DEVICE_GET_REGION_INFO that VFIO itself does not have; those of VFIO keep their numbers.</summary>
public static class VfioUserRegionCapability
{
    /// <summary>
    /// Areas that can be mapped, each with a descriptor of its own: as <see cref="Vfio.VfioRegionCapability.SparseMmap"/>, with entries of
    /// <see cref="VfioUserRegionFileArea"/>. A draft of the text; older ones of it give this number.
    /// </summary>
    public const ushort SparseMmapFds = 16;

    /// <summary>The same, as newer drafts number it.</summary>
    public const ushort SparseMmapFdsPrivate = 0x8001;

    /// <summary>Version of both.</summary>
    public const ushort Version = 1;
}
