namespace Penstock.Vfio;

/// <summary>A page that an access has pinned; valid until it is unpinned.</summary>
/// <param name="Memory">The memory.</param>
/// <param name="Offset">Offset of the page in the memory.</param>
public readonly record struct PinnedPage(UserMemory Memory, ulong Offset);
