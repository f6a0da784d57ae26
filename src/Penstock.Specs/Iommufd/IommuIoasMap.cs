using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_MAP (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasMap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 40;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 40;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public IommuMapFlags Flags;

    /// <summary>The address space.</summary>
    public uint IoasId;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>First byte in the caller's memory.</summary>
    public ulong UserAddress;

    /// <summary>Length in bytes.</summary>
    public ulong MapLength;

    /// <summary>First I/O address; receives it unless it was fixed.</summary>
    public ulong Iova;
}
