namespace Penstock.Pci;

/// <summary>A base address register that a function implements.</summary>
/// <param name="Index">0 to 5; a 64-bit one at most 4.</param>
/// <param name="Kind">What it decodes.</param>
/// <param name="Size">Size in bytes, a power of two: at least 4 for I/O, 16 for memory.</param>
/// <param name="Prefetchable">Memory only: reads have no side effects.</param>
public sealed record PciBar(int Index, PciBarKind Kind, ulong Size, bool Prefetchable = false)
{
    /// <summary>
    /// Memory only: the function takes accesses of any length and alignment as they come, as plain storage does, instead of naturally
    /// aligned steps of at most 8 bytes.
    /// </summary>
    public bool TakesWholeAccesses { get; init; }
}
