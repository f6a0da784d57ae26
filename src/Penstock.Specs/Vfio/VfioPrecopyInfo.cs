using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>MIG_GET_PRECOPY_INFO, asked of a file of migration data (linux/vfio.h, <c>vfio_precopy_info</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioPrecopyInfo
{
    /// <summary>Length of the structure in bytes, and the least that is accepted.</summary>
    public const int Length = 24;

    /// <summary>The request's number.</summary>
    public const uint Request = 0x3b79;

    /// <summary>Size of the caller's structure.</summary>
    public uint ArgumentSize;

    /// <summary>Output, but only for users that have set feature 12; otherwise left as it was.</summary>
    public VfioPrecopyFlags Flags;

    /// <summary>Bytes that the destination needs first and that have not been read yet.</summary>
    public ulong InitialBytes;

    /// <summary>Other bytes that could be read now.</summary>
    public ulong DirtyBytes;
}
