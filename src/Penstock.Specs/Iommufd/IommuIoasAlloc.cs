using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_ALLOC (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasAlloc
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 12;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 12;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public uint Flags;

    /// <summary>Receives the id.</summary>
    public uint OutIoasId;
}
