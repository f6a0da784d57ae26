using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>GROUP_GET_STATUS (<c>vfio_group_status</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioGroupStatus
{
    /// <summary>Length of the structure in bytes, which is also the smallest that the call accepts.</summary>
    public const int Length = 8;

    /// <summary>Longest name that GET_DEVICE_FD reads, its NUL included: one page.</summary>
    public const int LongestDeviceName = 4096;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Receives the state.</summary>
    public VfioGroupFlags Flags;
}
