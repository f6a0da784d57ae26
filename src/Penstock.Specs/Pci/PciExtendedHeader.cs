namespace Penstock.Specs.Pci;

/// <summary>Header of an extended capability (PCI Express 3.0, section 7.9.3) and the bodies of the small ones.</summary>
public static class PciExtendedHeader
{
    /// <summary>Length in bytes.</summary>
    public const int Length = 4;

    /// <summary>Position of the version.</summary>
    public const int VersionShift = 16;

    /// <summary>Position of the offset of the next one.</summary>
    public const int NextShift = 20;

    /// <summary>Length of the device serial number capability (section 7.12).</summary>
    public const int SerialNumberLength = 12;

    /// <summary>Second header of a vendor-specific one (section 7.18), 4 bytes: id, revision, length.</summary>
    public const int VendorHeader = 4;

    /// <summary>Where a vendor-specific body starts.</summary>
    public const int VendorBody = 8;

    /// <summary>Position of the revision in the vendor header.</summary>
    public const int VendorRevisionShift = 16;

    /// <summary>Position of the length in the vendor header.</summary>
    public const int VendorLengthShift = 20;
}
