namespace Penstock.Hypervisor;

/// <summary>
/// A page of a guest's memory as <see cref="GuestPins"/> knows it: which slot, and which page there. Two are equal when they are the same page of the
/// same memory; a slot that came in the place of another one has pages of its own.
/// </summary>
/// <param name="Word">Slot and page in one word, see the accessors; the low bits are free for whoever keeps it.</param>
internal readonly record struct GuestPage(ulong Word)
{
    internal const int FreeBits = 4;
    internal const int MaximumSlots = 1 << SlotBits;

    private const int SlotBits = 16;
    private const int PageShift = FreeBits + SlotBits;

    internal GuestPage(int slot, ulong page)
        : this((page << PageShift) | ((ulong)slot << FreeBits))
    {
    }

    /// <summary>The page in a word whose free bits somebody has used.</summary>
    internal static GuestPage Of(ulong word) => new(word & ~((1ul << FreeBits) - 1));

    internal static ulong LargestPage => ulong.MaxValue >> PageShift;

    internal int Slot => (int)(Word >> FreeBits) & (MaximumSlots - 1);

    internal ulong Page => Word >> PageShift;
}
