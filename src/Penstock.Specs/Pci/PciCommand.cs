namespace Penstock.Specs.Pci;

/// <summary>The command register (PCI Local Bus 3.0, section 6.2.2).</summary>
[Flags]
public enum PciCommand : ushort
{
    /// <summary>Nothing enabled.</summary>
    None = 0,

    /// <summary>I/O BARs are decoded.</summary>
    Io = 0x0001,

    /// <summary>Memory BARs are decoded.</summary>
    Memory = 0x0002,

    /// <summary>The function may start transactions: DMA and message signalled interrupts.</summary>
    BusMaster = 0x0004,

    /// <summary>Memory write and invalidate.</summary>
    MemoryWriteInvalidate = 0x0010,

    /// <summary>Parity errors are answered.</summary>
    ParityErrorResponse = 0x0040,

    /// <summary>SERR# may be driven.</summary>
    Serr = 0x0100,

    /// <summary>The interrupt pin may not be driven.</summary>
    InterruptDisable = 0x0400,
}
