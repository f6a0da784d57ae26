using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_UNMAP (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasUnmap
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The address space.</summary>
    public uint IoasId;

    /// <summary>First address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes; receives what was removed.</summary>
    public ulong UnmapLength;
}
