namespace Penstock.Specs.Pci;

/// <summary>MSI-X capability, table and pending bits (PCI Local Bus 3.0, section 6.8.2).</summary>
public static class PciMsix
{
    /// <summary>Length of the capability in bytes.</summary>
    public const int Length = 12;

    /// <summary>Message control, 2 bytes; its low 11 bits are the table size minus one.</summary>
    public const int Control = 2;

    /// <summary>All vectors are masked, in message control.</summary>
    public const ushort FunctionMask = 0x4000;

    /// <summary>Enable, in message control.</summary>
    public const ushort Enable = 0x8000;

    /// <summary>Where the table is, 4 bytes: offset, with the BAR in the low three bits.</summary>
    public const int Table = 4;

    /// <summary>Where the pending bits are, 4 bytes, as <see cref="Table"/>.</summary>
    public const int Pba = 8;

    /// <summary>The BAR in <see cref="Table"/> and <see cref="Pba"/>.</summary>
    public const uint BarMask = 7;

    /// <summary>Size of a table entry in bytes: address, upper address, data, vector control.</summary>
    public const int EntrySize = 16;

    /// <summary>The vector is masked, in vector control.</summary>
    public const uint VectorMasked = 1;

    /// <summary>Most vectors.</summary>
    public const int MaxVectors = 2048;
}
