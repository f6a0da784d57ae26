namespace Penstock.Specs.Pci;

/// <summary>MSI capability (PCI Local Bus 3.0, section 6.8.1).</summary>
public static class PciMsi
{
    /// <summary>Message control, 2 bytes.</summary>
    public const int Control = 2;

    /// <summary>Enable, in message control.</summary>
    public const ushort Enable = 0x0001;

    /// <summary>Position of the vector count that the function can use, as a power of two, in message control.</summary>
    public const int MultipleCapableShift = 1;

    /// <summary>Position of the vector count that software allows, as a power of two, in message control.</summary>
    public const int MultipleEnableShift = 4;

    /// <summary>The vector count that software allows, in message control.</summary>
    public const ushort MultipleEnableMask = 0x0070;

    /// <summary>The address has 64 bits, in message control.</summary>
    public const ushort Is64Bit = 0x0080;

    /// <summary>Each vector can be masked, in message control.</summary>
    public const ushort Maskable = 0x0100;

    /// <summary>Low half of the address, 4 bytes.</summary>
    public const int Address = 4;

    /// <summary>High half of the address, 4 bytes, with 64-bit addresses only; the rest moves up by as much.</summary>
    public const int AddressHigh = 8;

    /// <summary>Message data with 32-bit addresses, 2 bytes.</summary>
    public const int Data32 = 8;

    /// <summary>Mask bits with 32-bit addresses, 4 bytes; the pending bits follow.</summary>
    public const int Mask32 = 12;

    /// <summary>What a 64-bit address adds to the offsets after it.</summary>
    public const int Grow64 = 4;

    /// <summary>Length with a 32-bit address and no mask bits.</summary>
    public const int ShortLength = 10;

    /// <summary>What mask and pending bits add to the length.</summary>
    public const int GrowMaskable = 10;

    /// <summary>Most vectors.</summary>
    public const int MaxVectors = 32;
}
