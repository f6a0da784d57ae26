namespace Penstock.Drivers;

/// <summary>The ports of an ACCES PCI-IDIO-16 in BAR 2, by the card's manual.</summary>
internal static class Idio16Port
{
    internal const ushort VendorId = 0x494f;
    internal const ushort DeviceId = 0x0dc8;
    internal const uint Bar = 2;

    /// <summary>Outputs 0 to 7.</summary>
    internal const ulong OutputsLow = 0;

    /// <summary>Read: inputs 0 to 7. Write: clear the interrupt.</summary>
    internal const ulong InputsLow = 1;

    /// <summary>Read: interrupts on. Write: off.</summary>
    internal const ulong InterruptControl = 2;

    /// <summary>Read: all filters on. Write: off.</summary>
    internal const ulong FilterControl = 3;

    /// <summary>Outputs 8 to 15.</summary>
    internal const ulong OutputsHigh = 4;

    /// <summary>Inputs 8 to 15.</summary>
    internal const ulong InputsHigh = 5;

    /// <summary>Interrupt status.</summary>
    internal const ulong InterruptStatus = 6;

    /// <summary>In the status: an input has changed.</summary>
    internal const byte Pending = 1 << 2;
}
