namespace Penstock.VfioUser;

/// <summary>A short write to a region, one of several that go in one message.</summary>
/// <param name="Region">Region index.</param>
/// <param name="Offset">Offset in the region.</param>
/// <param name="Length">1 to 8 bytes.</param>
/// <param name="Value">The bytes; the lowest comes first.</param>
public readonly record struct RegionWrite(uint Region, ulong Offset, int Length, ulong Value);
