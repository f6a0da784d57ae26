namespace Penstock.Vfio;

/// <summary>MAP_DMA as a backend gets it.</summary>
/// <param name="Iova">First I/O address.</param>
/// <param name="Size">Size in bytes.</param>
/// <param name="Access">What devices may do.</param>
/// <param name="Source">The memory.</param>
/// <param name="Caller">Who maps, and is charged.</param>
public readonly record struct DmaMapRequest(ulong Iova, ulong Size, DmaAccess Access, DmaSource Source, Caller Caller);
