namespace Penstock.Specs.Idio16;

/// <summary>
/// Register map of the ACCES PCI-IDIO-16 (the card's manual, chapter "Programming"; the same offsets as in Linux
/// <c>drivers/gpio/gpio-idio-16.c</c>). Every register is one I/O port wide.
/// </summary>
public static class Idio16Registers
{
    /// <summary>PCI vendor: ACCES I/O Products.</summary>
    public const ushort VendorId = 0x494f;

    /// <summary>PCI device: PCI-IDIO-16.</summary>
    public const ushort DeviceId = 0x0dc8;

    /// <summary>The BAR with the ports, which is the one that Linux maps: <c>pci_bar_index</c>.</summary>
    public const int BarIndex = 2;

    /// <summary>Eight ports: the manual's base address is on an eight byte boundary, and the last register is at 7.</summary>
    public const int BarSize = 8;

    /// <summary>Read and write: outputs 0-7.</summary>
    public const int OutputsLow = 0;

    /// <summary>Read: inputs 0-7. Write of any value: clear interrupt.</summary>
    public const int InputsLowClearInterrupt = 1;

    /// <summary>Read: enable interrupts. Write of any value: disable them.</summary>
    public const int InterruptControl = 2;

    /// <summary>Read: switch the filters of all inputs on. Write of any value: off.</summary>
    public const int FilterControl = 3;

    /// <summary>Read and write: outputs 8-15.</summary>
    public const int OutputsHigh = 4;

    /// <summary>Read: inputs 8-15.</summary>
    public const int InputsHigh = 5;

    /// <summary>Read: interrupt status, see the Status constants.</summary>
    public const int InterruptStatus = 6;

    /// <summary>Read and write: a filter for each of the inputs 0-7.</summary>
    public const int FilterSelect = 7;

    /// <summary>
    /// An input of 0-7 changed. The Linux driver before its move to regmap wants this or <see cref="StatusHigh"/> beside
    /// <see cref="StatusPending"/>.
    /// </summary>
    public const byte StatusLow = 1 << 0;

    /// <summary>An input of 8-15 changed.</summary>
    public const byte StatusHigh = 1 << 1;

    /// <summary>An interrupt waits to be cleared: the only bit that the Linux driver looks at since its move to regmap.</summary>
    public const byte StatusPending = 1 << 2;
}
