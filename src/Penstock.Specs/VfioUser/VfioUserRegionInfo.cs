using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DEVICE_GET_REGION_INFO, request and reply; capabilities may follow a reply.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserRegionInfo
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Largest reply that the client takes; in a reply the size of a full one.</summary>
    public uint ArgumentSize;

    /// <summary>VFIO_REGION_INFO_FLAG_*.</summary>
    public uint Flags;

    /// <summary>Region index.</summary>
    public uint Index;

    /// <summary>Where the first capability is, from the start of this structure.</summary>
    public uint CapabilityOffset;

    /// <summary>Size of the region in bytes.</summary>
    public ulong Size;

    /// <summary>Offset in the descriptor's file.</summary>
    public ulong FileOffset;
}
