using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>UNMAP_DMA (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDmaUnmap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes, needed to get a bitmap.</summary>
    public const int Length = 48;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioDmaUnmapFlags Flags;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Size in bytes; receives what was removed.</summary>
    public ulong UnmapSize;

    /// <summary>Receives what is dirty, when that was asked for.</summary>
    public VfioBitmap Bitmap;
}
