using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>Answer to GET_REGION_INFO. A region with size 0 and no flags is absent.</summary>
/// <param name="Index">The region's index.</param>
/// <param name="Flags">What can be done with it.</param>
/// <param name="Size">Size in bytes.</param>
public readonly record struct VfioRegionInfo(int Index, VfioRegionFlags Flags, ulong Size)
{
    /// <summary>Offset of the region in the device file, for users of the kernel's structures.</summary>
    public ulong Offset { get; init; } = (ulong)Index << VfioRegions.OffsetShift;

    /// <summary>The areas that can be mapped, when not all of a region that says so; null otherwise.</summary>
    public IReadOnlyList<VfioRegionArea>? MappableAreas { get; init; }

    /// <summary>Whether a mapping may cover the MSI-X table. What is written there has no effect.</summary>
    public bool IsMsixMappable { get; init; }

    /// <summary>Kind of a region that only this device has; null for the standard ones.</summary>
    public VfioRegionType? Type { get; init; }
}
