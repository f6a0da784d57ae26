namespace Penstock.Specs.Pci;

/// <summary>Offsets in the configuration header, type 0 (PCI Local Bus 3.0, section 6.1), and the places where capabilities start.</summary>
public static class PciConfigOffsets
{
    /// <summary>Vendor id, 2 bytes.</summary>
    public const int VendorId = 0x00;

    /// <summary>Device id, 2 bytes.</summary>
    public const int DeviceId = 0x02;

    /// <summary>Command, 2 bytes.</summary>
    public const int Command = 0x04;

    /// <summary>Status, 2 bytes.</summary>
    public const int Status = 0x06;

    /// <summary>Revision, 1 byte.</summary>
    public const int Revision = 0x08;

    /// <summary>Class code, 3 bytes.</summary>
    public const int ClassCode = 0x09;

    /// <summary>Cache line size, 1 byte.</summary>
    public const int CacheLineSize = 0x0c;

    /// <summary>Latency timer, 1 byte.</summary>
    public const int LatencyTimer = 0x0d;

    /// <summary>Header type, 1 byte.</summary>
    public const int HeaderType = 0x0e;

    /// <summary>The first of six base address registers, 4 bytes each.</summary>
    public const int Bar0 = 0x10;

    /// <summary>Subsystem vendor id, 2 bytes.</summary>
    public const int SubsystemVendorId = 0x2c;

    /// <summary>Subsystem id, 2 bytes.</summary>
    public const int SubsystemId = 0x2e;

    /// <summary>Expansion ROM base address, 4 bytes.</summary>
    public const int Rom = 0x30;

    /// <summary>Offset of the first capability, 1 byte.</summary>
    public const int CapabilityPointer = 0x34;

    /// <summary>The bits of a pointer to a capability that count; the others are reserved.</summary>
    public const byte CapabilityPointerMask = 0xfc;

    /// <summary>Interrupt line, 1 byte.</summary>
    public const int InterruptLine = 0x3c;

    /// <summary>Interrupt pin, 1 byte.</summary>
    public const int InterruptPin = 0x3d;

    /// <summary>End of the header; capabilities follow.</summary>
    public const int HeaderEnd = 0x40;

    /// <summary>Size without extended configuration space; extended capabilities start here.</summary>
    public const int ConventionalSize = 0x100;

    /// <summary>Size with extended configuration space.</summary>
    public const int ExtendedSize = 0x1000;

    /// <summary>How many base address registers a type 0 header has.</summary>
    public const int BarCount = 6;
}
