using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>HWPT_SET_DIRTY_TRACKING (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptSetDirtyTracking
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 16;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>1 enables.</summary>
    public uint Flags;

    /// <summary>The table.</summary>
    public uint HwptId;

    /// <summary>0.</summary>
    public uint Reserved;
}
