namespace Penstock.Vfio;

/// <summary>One mapping of an I/O address space: a part of some pages at an address.</summary>
internal sealed class IoasArea
{
    internal required ulong Iova { get; init; }

    internal required ulong Length { get; init; }

    internal required DmaAccess Access { get; init; }

    internal IommufdPages? Backing { get; init; }

    /// <summary>First byte in the pages.</summary>
    internal ulong Offset { get; init; }

    /// <summary>Whether the domains of the address space have it, so that all its pages are pinned.</summary>
    internal bool Filled { get; set; }

    /// <summary>How many pins of accesses lie in it.</summary>
    internal int Pins { get; set; }

    /// <summary>It is being unmapped: nobody may pin or copy.</summary>
    internal bool PreventAccess { get; set; }

    internal IommufdPages Pages => Backing!;

    internal ulong Last => Iova + (Length - 1);

    internal IovaRange Range => new(Iova, Last);

    /// <summary>Whether address, length and offset in the page are multiples of an alignment.</summary>
    internal bool IsAligned(ulong alignment) =>
        ((Iova | Length | ((Pages.Address + Offset) % LockedMemoryAccounts.PageSize)) & (alignment - 1)) == 0;
}
