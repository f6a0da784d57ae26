using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>A bitmap of the caller (<c>vfio_bitmap</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioBitmap
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Bytes that one bit stands for.</summary>
    public ulong PageSize;

    /// <summary>Size of the bitmap in bytes.</summary>
    public ulong Size;

    /// <summary>Address of its first word of 64 bits.</summary>
    public ulong Data;
}
