using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>MAP_DMA (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDmaMap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 32;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioDmaMapFlags Flags;

    /// <summary>First byte in the caller's memory.</summary>
    public ulong UserAddress;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Size in bytes.</summary>
    public ulong MapSize;
}
