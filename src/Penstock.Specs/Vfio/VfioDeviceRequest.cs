namespace Penstock.Specs.Vfio;

/// <summary>Requests of a device file, however the device was opened (linux/vfio.h).</summary>
public enum VfioDeviceRequest : uint
{
    /// <summary>What the device is; takes a <see cref="VfioDeviceGetInfo"/>.</summary>
    GetInfo = 0x3b6b,

    /// <summary>What a region is; takes a <see cref="VfioDeviceGetRegionInfo"/>.</summary>
    GetRegionInfo = 0x3b6c,

    /// <summary>What an interrupt index is; takes a <see cref="VfioDeviceGetIrqInfo"/>.</summary>
    GetIrqInfo = 0x3b6d,

    /// <summary>Sets up, masks or triggers interrupts; takes a <see cref="VfioDeviceSetIrqs"/>.</summary>
    SetIrqs = 0x3b6e,

    /// <summary>Resets the device.</summary>
    Reset = 0x3b6f,

    /// <summary>What a reset of its slot or bus would affect.</summary>
    GetPciHotResetInfo = 0x3b70,

    /// <summary>Resets its slot or bus.</summary>
    PciHotReset = 0x3b71,

    /// <summary>An eventfd that writes to a region.</summary>
    IoEventfd = 0x3b74,

    /// <summary>Optional features.</summary>
    Feature = 0x3b75,
}
