namespace Penstock.Devices;

/// <summary>A contiguous part of a command's data in the host's memory.</summary>
/// <param name="Iova">First I/O address.</param>
/// <param name="Length">Length in bytes, never 0.</param>
internal readonly record struct NvmeSegment(ulong Iova, uint Length);
