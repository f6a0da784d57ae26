using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_ALLOW_IOVAS (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasAllowIovas
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The address space.</summary>
    public uint IoasId;

    /// <summary>Entries of the array; 0 removes the limit.</summary>
    public uint RangeCount;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>Address of an array of <see cref="IommuIovaRange"/>.</summary>
    public ulong RangesPointer;
}
