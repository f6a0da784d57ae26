using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Answer to GET_INFO (linux/vfio.h); capabilities follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioIommuInfo
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 16;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioIommuInfoFlags Flags;

    /// <summary>Page sizes, one bit each.</summary>
    public ulong PageSizes;

    /// <summary>Offset of the first capability; 0 when they did not fit.</summary>
    public uint CapabilityOffset;

    /// <summary>0.</summary>
    public uint Padding;
}
