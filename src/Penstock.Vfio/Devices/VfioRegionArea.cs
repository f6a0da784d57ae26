namespace Penstock.Vfio;

/// <summary>Part of a region.</summary>
/// <param name="Offset">First byte, from the region's start.</param>
/// <param name="Size">Size in bytes.</param>
public readonly record struct VfioRegionArea(ulong Offset, ulong Size);
