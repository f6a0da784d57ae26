using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>VFIO_IOAS (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuVfioIoas
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 12;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 12;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The address space.</summary>
    public uint IoasId;

    /// <summary>What to do.</summary>
    public IommuVfioIoasOperation Operation;

    /// <summary>0.</summary>
    public ushort Reserved;
}
