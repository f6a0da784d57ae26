using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Start of a capability in the answer to GET_INFO (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioInfoCapHeader
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>Offset of <see cref="Next"/>.</summary>
    public const int NextOffset = 4;

    /// <summary>Which.</summary>
    public ushort Id;

    /// <summary>Version.</summary>
    public ushort Version;

    /// <summary>Offset of the next one from the start of the answer; 0 ends.</summary>
    public uint Next;
}
