using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>An area of <see cref="VfioUserRegionCapability.SparseMmapFds"/>.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserRegionFileArea
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>First byte in the region.</summary>
    public ulong Offset;

    /// <summary>First byte in the file.</summary>
    public ulong FileOffset;

    /// <summary>Length in bytes.</summary>
    public ulong Size;

    /// <summary>Which descriptor of the message.</summary>
    public uint DescriptorIndex;

    /// <summary>0.</summary>
    public uint Reserved;
}
