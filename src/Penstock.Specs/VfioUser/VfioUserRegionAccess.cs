using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of REGION_READ and REGION_WRITE, before the data.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserRegionAccess
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Offset in the region.</summary>
    public ulong Offset;

    /// <summary>Region index.</summary>
    public uint Region;

    /// <summary>Number of bytes.</summary>
    public uint Count;
}
