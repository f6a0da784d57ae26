using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>DEVICE_GET_INFO (<c>vfio_device_info</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceGetInfo
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 16;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Receives kind and abilities.</summary>
    public VfioDeviceFlags Flags;

    /// <summary>Receives the number of region indices.</summary>
    public uint RegionCount;

    /// <summary>Receives the number of interrupt indices.</summary>
    public uint IrqCount;

    /// <summary>Receives where the first capability is, from the start of this structure; 0 for none.</summary>
    public uint CapabilityOffset;

    /// <summary>Padding.</summary>
    public uint Padding;
}
