using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>A base address register that a function implements.</summary>
/// <param name="Index">0 to 5; a 64-bit one at most 4.</param>
/// <param name="Kind">What it decodes.</param>
/// <param name="Size">Size in bytes, a power of two: at least 4 for I/O, 16 for memory.</param>
/// <param name="Prefetchable">Memory only: reads have no side effects.</param>
public sealed record PciBar(int Index, PciBarKind Kind, ulong Size, bool Prefetchable = false)
{
    internal const ulong PageSize = 4096;

    /// <summary>
    /// Memory only: the function takes accesses of any length and alignment as they come, as plain storage does, instead of naturally
    /// aligned steps of at most 8 bytes.
    /// </summary>
    public bool TakesWholeAccesses { get; init; }

    /// <summary>
    /// Memory only, of at least a page: the memory behind the BAR, as long as it, which users may map. Accesses to what can be mapped are then
    /// served from it without a call of the function. The function owns it. Null: every access is a call.
    /// </summary>
    public UserMemory? Memory { get; init; }

    /// <summary>
    /// The parts of <see cref="Memory"/> that may be mapped, at page boundaries and without overlaps; the rest stays the function's to handle.
    /// Null: all of it.
    /// </summary>
    public IReadOnlyList<VfioRegionArea>? MappableAreas { get; init; }

    /// <summary>Registers whose writes may come as signals of an eventfd.</summary>
    public IReadOnlyList<PciDoorbell> Doorbells { get; init; } = [];

    /// <summary>Whether users can map it, or some of it.</summary>
    public bool IsMappable => Memory is not null;

    /// <summary>Whether all of a range can be mapped. Allocates nothing.</summary>
    internal bool Covers(ulong offset, int length)
    {
        if (Memory is null || MappableAreas is not { } areas)
        {
            return Memory is not null;
        }

        for (int i = 0; i < areas.Count; i++)
        {
            ulong into = offset - areas[i].Offset;
            if (offset >= areas[i].Offset && into < areas[i].Size && (ulong)length <= areas[i].Size - into)
            {
                return true;
            }
        }

        return false;
    }
}
