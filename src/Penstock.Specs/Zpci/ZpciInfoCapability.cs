namespace Penstock.Specs.Zpci;

/// <summary>Capabilities of a zPCI device in the answer to DEVICE_GET_INFO (linux/vfio_zdev.h), in the order in which they come.</summary>
public static class ZpciInfoCapability
{
    /// <summary>VFIO_DEVICE_INFO_CAP_ZPCI_BASE.</summary>
    public const ushort Base = 1;

    /// <summary>Version of <see cref="Base"/>.</summary>
    public const ushort BaseVersion = 3;

    /// <summary>VFIO_DEVICE_INFO_CAP_ZPCI_GROUP.</summary>
    public const ushort Group = 2;

    /// <summary>Version of <see cref="Group"/>.</summary>
    public const ushort GroupVersion = 2;

    /// <summary>VFIO_DEVICE_INFO_CAP_ZPCI_UTIL: a length, and a string in EBCDIC.</summary>
    public const ushort Util = 3;

    /// <summary>Version of <see cref="Util"/>.</summary>
    public const ushort UtilVersion = 1;

    /// <summary>VFIO_DEVICE_INFO_CAP_ZPCI_PFIP: a length, and the path to the function in the machine.</summary>
    public const ushort Pfip = 4;

    /// <summary>Version of <see cref="Pfip"/>.</summary>
    public const ushort PfipVersion = 1;
}
