using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>One write in REGION_WRITE_MULTI.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserMultiWrite
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>The most bytes that one write can have.</summary>
    public const int MaximumData = 8;

    /// <summary>Offset of <see cref="Data"/>.</summary>
    public const int DataOffset = 16;

    /// <summary>Offset in the region.</summary>
    public ulong Offset;

    /// <summary>Region index.</summary>
    public uint Region;

    /// <summary>Number of bytes.</summary>
    public uint Count;

    /// <summary>The bytes, from the lowest address on; those past <see cref="Count"/> mean nothing.</summary>
    public ulong Data;
}
