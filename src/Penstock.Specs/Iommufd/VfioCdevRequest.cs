namespace Penstock.Specs.Iommufd;

/// <summary>Requests of a device that was opened by itself (linux/vfio.h).</summary>
public enum VfioCdevRequest : uint
{
    /// <summary>Binds it to an iommufd.</summary>
    BindIommufd = 0x3b76,

    /// <summary>Attaches it to an address space or page table.</summary>
    AttachIommufdPt = 0x3b77,

    /// <summary>Detaches it.</summary>
    DetachIommufdPt = 0x3b78,
}
