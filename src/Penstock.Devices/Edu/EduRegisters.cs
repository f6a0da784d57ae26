namespace Penstock.Devices;

/// <summary>
/// Register map of the EDU device, as QEMU's public description has it (System Emulation, Specifications, "EDU device").
/// Registers below <see cref="WideRegisters"/> have 4 bytes, those from there on 8.
/// </summary>
internal static class EduRegisters
{
    /// <summary>Not a maker of cards: the vendor id that emulators use for devices of their own.</summary>
    internal const ushort VendorId = 0x1234;

    internal const ushort DeviceId = 0x11E8;

    internal const int BarIndex = 0;
    internal const int BarSize = 1 << 20;

    /// <summary>Read: major version 1, minor version 0, and the mark <c>0ed</c>.</summary>
    internal const int Identification = 0x00;

    internal const uint IdentificationValue = 0x010000ED;

    /// <summary>Reads as the complement of what was written.</summary>
    internal const int Liveness = 0x04;

    /// <summary>A number; its factorial once <see cref="StatusComputing"/> is gone.</summary>
    internal const int Factorial = 0x08;

    internal const int Status = 0x20;
    internal const uint StatusComputing = 0x01;
    internal const uint StatusInterruptWhenComputed = 0x80;

    /// <summary>Read: the causes that have not been acknowledged.</summary>
    internal const int InterruptStatus = 0x24;

    /// <summary>Write: causes to add.</summary>
    internal const int InterruptRaise = 0x60;

    /// <summary>Write: causes to take away.</summary>
    internal const int InterruptAcknowledge = 0x64;

    internal const uint CauseFactorial = 0x001;
    internal const uint CauseDma = 0x100;

    /// <summary>Below only accesses of 4 bytes are valid, from here on of 4 or 8.</summary>
    internal const int WideRegisters = 0x80;

    internal const int DmaSource = 0x80;
    internal const int DmaDestination = 0x88;
    internal const int DmaCount = 0x90;
    internal const int DmaCommand = 0x98;

    internal const ulong CommandStart = 0x01;

    /// <summary>From the device's buffer to memory; without it the other way.</summary>
    internal const ulong CommandToMemory = 0x02;

    internal const ulong CommandInterruptWhenDone = 0x04;

    /// <summary>Where the registers end.</summary>
    internal const int End = 0xA0;

    /// <summary>The device's buffer, in the BAR and in the addresses of its DMA unit.</summary>
    internal const int Buffer = 0x40000;

    internal const int BufferSize = 4096;
}
