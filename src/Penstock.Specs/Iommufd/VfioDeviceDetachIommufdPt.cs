using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>DETACH_IOMMUFD_PT (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceDetachIommufdPt
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 8;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 12;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioCdevFlags Flags;

    /// <summary>The PASID.</summary>
    public uint Pasid;
}
