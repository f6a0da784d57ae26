using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DEVICE_GET_INFO, request and reply.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDeviceInfo
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Largest reply that the client takes; in a reply the size of a full one.</summary>
    public uint ArgumentSize;

    /// <summary>VFIO_DEVICE_FLAGS_*.</summary>
    public uint Flags;

    /// <summary>Number of region indices.</summary>
    public uint RegionCount;

    /// <summary>Number of interrupt indices.</summary>
    public uint IrqCount;
}
