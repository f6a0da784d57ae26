using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>HWPT_GET_DIRTY_BITMAP (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptGetDirtyBitmap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 48;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 48;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The table.</summary>
    public uint HwptId;

    /// <summary>1 does not clear.</summary>
    public uint Flags;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>First address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong RangeLength;

    /// <summary>Bytes for each bit.</summary>
    public ulong PageSize;

    /// <summary>Address of the bitmap.</summary>
    public ulong DataPointer;
}
