namespace Penstock.Vfio;

/// <summary>Where an I/O address leads.</summary>
/// <param name="Memory">The memory, valid as long as the scope in which it was found.</param>
/// <param name="Offset">Offset in the memory.</param>
/// <param name="Length">How many bytes follow in one piece, at least 1.</param>
public readonly record struct DmaTarget(UserMemory Memory, ulong Offset, ulong Length);
