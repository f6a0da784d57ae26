namespace Penstock.Specs.Pci;

/// <summary>Low bits of a base address register (PCI Local Bus 3.0, section 6.2.5.1).</summary>
public static class PciBarBits
{
    /// <summary>I/O instead of memory.</summary>
    public const uint Io = 0x1;

    /// <summary>Memory that takes a second register for the high half of its address.</summary>
    public const uint Memory64 = 0x4;

    /// <summary>Reads have no side effects.</summary>
    public const uint Prefetchable = 0x8;

    /// <summary>Smallest I/O BAR in bytes.</summary>
    public const ulong SmallestIo = 4;

    /// <summary>Smallest memory BAR in bytes.</summary>
    public const ulong SmallestMemory = 16;
}
