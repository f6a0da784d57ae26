using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>DEVICE_GET_REGION_INFO (<c>vfio_region_info</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceGetRegionInfo
{
    /// <summary>Length of the structure in bytes, which is also the smallest that the call accepts.</summary>
    public const int Length = 32;

    /// <summary>Size of this structure with room for capabilities; receives what they need when it is too small.</summary>
    public uint ArgumentSize;

    /// <summary>Receives what can be done with the region.</summary>
    public VfioRegionFlags Flags;

    /// <summary>Region index.</summary>
    public uint Index;

    /// <summary>Receives where the first capability is, from the start of this structure; 0 when there was no room.</summary>
    public uint CapabilityOffset;

    /// <summary>Receives the size of the region in bytes.</summary>
    public ulong Size;

    /// <summary>Receives its offset in the device file.</summary>
    public ulong Offset;
}
