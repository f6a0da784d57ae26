using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>Answer to GET_IRQ_INFO.</summary>
/// <param name="Index">The interrupt index.</param>
/// <param name="Flags">How it behaves.</param>
/// <param name="Count">Number of vectors; 0 when the device has none of this kind.</param>
public readonly record struct VfioIrqInfo(int Index, VfioIrqFlags Flags, uint Count);
