namespace Penstock.Specs.Zpci;

/// <summary>Parts of a zPCI function handle.</summary>
public static class ZpciHandle
{
    /// <summary>The function is enabled.</summary>
    public const uint Enabled = 0x8000_0000;

    /// <summary>Changes when firmware makes the handle anew.</summary>
    public const uint InstanceMask = 0x7f00_0000;

    /// <summary>Distance of two instances.</summary>
    public const uint InstanceStep = 0x0100_0000;

    /// <summary>Software hypervisor mask: firmware never interprets a handle with a bit of it set.</summary>
    public const uint HypervisorMask = 0x00ff_0000;

    /// <summary>Value in <see cref="HypervisorMask"/> that QEMU gives devices of VFIO that it intercepts.</summary>
    public const uint InterceptedDevice = 0x0001_0000;

    /// <summary>Value in <see cref="HypervisorMask"/> that QEMU gives all other devices, those behind vfio-user too.</summary>
    public const uint EmulatedDevice = 0x0002_0000;

    /// <summary>Index, unique in a guest.</summary>
    public const uint IndexMask = 0x0000_ffff;
}
