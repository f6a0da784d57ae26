namespace Penstock.Pci;

/// <summary>What a base address register decodes (PCI Local Bus 3.0, section 6.2.5).</summary>
public enum PciBarKind
{
    /// <summary>I/O ports.</summary>
    Io,

    /// <summary>Memory below 4 GiB.</summary>
    Memory32,

    /// <summary>Memory anywhere; takes the next register too.</summary>
    Memory64,
}
