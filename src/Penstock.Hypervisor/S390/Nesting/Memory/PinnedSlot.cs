using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A slot of guest memory with a count for each of its pages, in native memory. It holds the slot's memory as long as the machine has the slot or anything
/// of it is pinned. Counts are the business of <see cref="GuestPins"/>, under its lock; where the memory is may be read from any thread.
/// </summary>
internal sealed unsafe class PinnedSlot
{
    private readonly ResourceLedger _ledger;
    private uint* _counts;

    internal PinnedSlot(int id, GuestMemorySlot slot, ResourceLedger ledger)
    {
        Id = id;
        Slot = slot;
        First = slot.Address;
        Last = slot.Last;
        Memory = slot.Memory;
        Offset = slot.Offset;
        Pages = slot.Length / GuestMemory.PageSize;
        IsReadOnly = slot.IsReadOnly || (slot.Memory.Allowed & DmaAccess.Write) == 0;
        _ledger = ledger;

        // Zeroes that nobody has touched take no memory: only where something was pinned there is a page of counts.
        // SAFETY: freed by Free, once; indices are pages of the slot, which only GuestPages of this slot have.
        _counts = NativeBlock.Allocate<uint>((nuint)Pages, ledger);
        Memory.Hold();
    }

    internal int Id { get; }

    internal GuestMemorySlot Slot { get; }

    internal ulong First { get; }

    internal ulong Last { get; }

    internal UserMemory Memory { get; }

    /// <summary>Offset of the first byte in the memory.</summary>
    internal ulong Offset { get; }

    internal ulong Pages { get; }

    internal bool IsReadOnly { get; }

    /// <summary>Whether its pages are charged for; a device's registers are not.</summary>
    internal bool IsCharged => !Memory.IsReserved;

    /// <summary>Whether the machine has taken it away.</summary>
    internal bool IsGone { get; set; }

    /// <summary>Whether all of it is pinned, beside what is pinned page by page.</summary>
    internal bool IsWhole { get; set; }

    /// <summary>Pages with a count.</summary>
    internal long Counted { get; set; }

    /// <summary>Pages that are pinned one way or the other.</summary>
    internal long Pinned => IsWhole ? (long)Pages : Counted;

    internal ref uint CountOf(ulong page) => ref _counts[page];

    internal void Free()
    {
        NativeBlock.Free(ref _counts, _ledger);
        Memory.Release();
    }
}
