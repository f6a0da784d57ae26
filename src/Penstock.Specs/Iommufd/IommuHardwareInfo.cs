using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>GET_HW_INFO (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHardwareInfo
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 32;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 40;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public IommuHardwareInfoFlags Flags;

    /// <summary>The device.</summary>
    public uint DeviceId;

    /// <summary>Room for the data; receives its real length.</summary>
    public uint DataLength;

    /// <summary>Where the data goes.</summary>
    public ulong DataPointer;

    /// <summary>Kind of the data.</summary>
    public uint DataType;

    /// <summary>Width of PASIDs in bits.</summary>
    public byte OutMaxPasidLog2;

    /// <summary>0.</summary>
    public byte Reserved0;

    /// <summary>0.</summary>
    public ushort Reserved1;

    /// <summary>Capabilities.</summary>
    public IommuHardwareCapabilities OutCapabilities;
}
