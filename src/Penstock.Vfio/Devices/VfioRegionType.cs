namespace Penstock.Vfio;

/// <summary>Kind of a region that only some devices have.</summary>
/// <param name="Type">The type, for PCI vendors 0x80000000 with the vendor id.</param>
/// <param name="Subtype">Which one of the type.</param>
public readonly record struct VfioRegionType(uint Type, uint Subtype);
