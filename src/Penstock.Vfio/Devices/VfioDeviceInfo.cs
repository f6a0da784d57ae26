using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>Answer to GET_INFO.</summary>
/// <param name="Flags">Kind and abilities.</param>
/// <param name="RegionCount">Number of region indices.</param>
/// <param name="IrqCount">Number of interrupt indices.</param>
public readonly record struct VfioDeviceInfo(VfioDeviceFlags Flags, int RegionCount, int IrqCount)
{
    /// <summary>Capabilities, in their order; null for none.</summary>
    public IReadOnlyList<VfioInfoCapability>? Capabilities { get; init; }
}
