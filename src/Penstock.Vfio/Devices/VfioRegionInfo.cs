using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>Answer to GET_REGION_INFO. A region with size 0 and no flags is absent.</summary>
/// <param name="Index">The region's index.</param>
/// <param name="Flags">What can be done with it.</param>
/// <param name="Size">Size in bytes.</param>
public readonly record struct VfioRegionInfo(int Index, VfioRegionFlags Flags, ulong Size);
