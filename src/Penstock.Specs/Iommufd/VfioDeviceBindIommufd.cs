using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>BIND_IOMMUFD (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceBindIommufd
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 16;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioCdevFlags Flags;

    /// <summary>Descriptor of the iommufd.</summary>
    public int Iommufd;

    /// <summary>Receives the id.</summary>
    public uint OutDeviceId;

    /// <summary>Address of a token of 16 bytes.</summary>
    public ulong TokenPointer;
}
