namespace Penstock.VfioUser;

/// <summary>An area of a server's region that can be mapped.</summary>
/// <param name="Offset">First byte in the region.</param>
/// <param name="Size">Length in bytes.</param>
/// <param name="FileOffset">First byte in the file.</param>
/// <param name="File">Which of the region's descriptors.</param>
internal readonly record struct RemoteArea(ulong Offset, ulong Size, ulong FileOffset, int File);
