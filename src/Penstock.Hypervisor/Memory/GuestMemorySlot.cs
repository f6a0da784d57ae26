using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>A stretch of guest memory.</summary>
/// <param name="Number">Number of the slot.</param>
/// <param name="Address">First guest address, a multiple of a page.</param>
/// <param name="Length">Length in bytes, a multiple of a page.</param>
/// <param name="Memory">The memory behind it.</param>
/// <param name="Offset">Offset of its first byte in the memory, a multiple of a page.</param>
/// <param name="IsReadOnly">Whether writes are refused.</param>
public sealed record GuestMemorySlot(int Number, ulong Address, ulong Length, UserMemory Memory, ulong Offset = 0, bool IsReadOnly = false)
{
    internal ulong Last => Address + (Length - 1);
}
