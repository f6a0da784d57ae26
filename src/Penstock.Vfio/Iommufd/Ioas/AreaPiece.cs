namespace Penstock.Vfio;

/// <summary>A part of some pages that becomes an area.</summary>
internal readonly record struct AreaPiece(IommufdPages Pages, ulong Offset, ulong Length);
