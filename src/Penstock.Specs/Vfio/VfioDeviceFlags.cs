namespace Penstock.Specs.Vfio;

/// <summary><c>VFIO_DEVICE_FLAGS_*</c> of linux/vfio.h.</summary>
[Flags]
public enum VfioDeviceFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The device can be reset.</summary>
    Reset = 1,

    /// <summary>A PCI device.</summary>
    Pci = 2,

    /// <summary>Capabilities follow the structure.</summary>
    Caps = 0x80,
}
