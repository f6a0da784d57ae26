using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>ATTACH_IOMMUFD_PT (linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceAttachIommufdPt
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 12;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Flags.</summary>
    public VfioCdevFlags Flags;

    /// <summary>Address space or page table; receives the page table.</summary>
    public uint PtId;

    /// <summary>The PASID.</summary>
    public uint Pasid;
}
