using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>A vendor's own extended capability (PCI Express 3.0, section 7.18).</summary>
public sealed class VendorExtendedCapability : PciExtendedCapability
{
    /// <summary>Creates the capability.</summary>
    /// <param name="vendorCapabilityId">The vendor's number for it.</param>
    /// <param name="revision">The vendor's revision, 0 to 15.</param>
    /// <param name="body">The vendor's bytes after the two headers.</param>
    /// <param name="writable">For each of them, the bits that software may write; none when it is shorter.</param>
    public VendorExtendedCapability(
        ushort vendorCapabilityId,
        int revision,
        ReadOnlySpan<byte> body,
        ReadOnlySpan<byte> writable = default)
        : base(PciExtendedCapabilityId.Vendor, 1, PciExtendedHeader.VendorBody + body.Length)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan((uint)revision, 15u, nameof(revision));
        uint header = vendorCapabilityId
            | ((uint)revision << PciExtendedHeader.VendorRevisionShift)
            | ((uint)Length << PciExtendedHeader.VendorLengthShift);
        Define(PciExtendedHeader.VendorHeader, 4, header);
        for (int i = 0; i < body.Length; i++)
        {
            Define(PciExtendedHeader.VendorBody + i, 1, body[i], i < writable.Length ? writable[i] : 0u);
        }
    }
}
