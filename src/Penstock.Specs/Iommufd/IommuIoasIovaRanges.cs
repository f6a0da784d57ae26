using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_IOVA_RANGES (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasIovaRanges
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 32;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The address space.</summary>
    public uint IoasId;

    /// <summary>Room in the array; receives the number that there are.</summary>
    public uint RangeCount;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>Address of an array of <see cref="IommuIovaRange"/>.</summary>
    public ulong RangesPointer;

    /// <summary>Receives the alignment of mappings.</summary>
    public ulong OutAlignment;
}
