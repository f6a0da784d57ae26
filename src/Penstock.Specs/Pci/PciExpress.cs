namespace Penstock.Specs.Pci;

/// <summary>PCI Express capability, version 2 (PCI Express 3.0, section 7.8).</summary>
public static class PciExpress
{
    /// <summary>Length of version 2 in bytes.</summary>
    public const int Length = 0x3c;

    /// <summary>Capabilities register, 2 bytes.</summary>
    public const int Capabilities = 0x02;

    /// <summary>Version, in the capabilities register.</summary>
    public const ushort Version2 = 0x0002;

    /// <summary>Position of the port type, in the capabilities register; 0 is an endpoint.</summary>
    public const int PortTypeShift = 4;

    /// <summary>Port type of an endpoint behind a link.</summary>
    public const int Endpoint = 0;

    /// <summary>Port type of an endpoint inside the root complex.</summary>
    public const int RootComplexEndpoint = 9;

    /// <summary>Device capabilities, 4 bytes.</summary>
    public const int DeviceCapabilities = 0x04;

    /// <summary>Role-based error reporting, in the device capabilities.</summary>
    public const uint RoleBasedErrors = 0x0000_8000;

    /// <summary>The function can be reset alone, in the device capabilities.</summary>
    public const uint FunctionLevelReset = 0x1000_0000;

    /// <summary>Device control, 2 bytes.</summary>
    public const int DeviceControl = 0x08;

    /// <summary>Device control after reset: relaxed ordering, no snoop, read requests of 512 bytes.</summary>
    public const ushort DeviceControlInitial = 0x2810;

    /// <summary>Start a function level reset, in device control.</summary>
    public const ushort InitiateFunctionLevelReset = 0x8000;

    /// <summary>Writable bits of device control: all but phantom functions and the reset.</summary>
    public const ushort DeviceControlWritable = 0x7dff;

    /// <summary>Device status, 2 bytes.</summary>
    public const int DeviceStatus = 0x0a;

    /// <summary>The error bits of device status, cleared by writing 1.</summary>
    public const ushort DeviceStatusErrors = 0x000f;

    /// <summary>Link capabilities, 4 bytes.</summary>
    public const int LinkCapabilities = 0x0c;

    /// <summary>Link control, 2 bytes.</summary>
    public const int LinkControl = 0x10;

    /// <summary>Writable bits of an endpoint's link control: power states, read completion boundary, common clock, extended sync.</summary>
    public const ushort LinkControlWritable = 0x00cb;

    /// <summary>Link status, 2 bytes.</summary>
    public const int LinkStatus = 0x12;

    /// <summary>One lane at 2.5 GT/s, in the link capabilities and the link status.</summary>
    public const ushort LinkX1Gen1 = 0x0011;

    /// <summary>Device capabilities 2, 4 bytes.</summary>
    public const int DeviceCapabilities2 = 0x24;

    /// <summary>The completion timeout can be switched off, in the device capabilities 2.</summary>
    public const uint CompletionTimeoutDisable = 0x10;

    /// <summary>Device control 2, 2 bytes.</summary>
    public const int DeviceControl2 = 0x28;

    /// <summary>Writable bits of device control 2: the completion timeout.</summary>
    public const ushort DeviceControl2Writable = 0x001f;

    /// <summary>Link control 2, 2 bytes.</summary>
    public const int LinkControl2 = 0x30;

    /// <summary>Target link speed, in link control 2.</summary>
    public const ushort LinkControl2Writable = 0x000f;

    /// <summary>Target link speed 2.5 GT/s.</summary>
    public const ushort LinkControl2Initial = 0x0001;
}
