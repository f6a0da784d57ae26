using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>A vendor's own capability (PCI Local Bus 3.0, appendix H): header, a length byte, then the vendor's bytes.</summary>
public sealed class VendorCapability : PciCapability
{
    private const int LengthByte = 2;
    private const int Body = 3;

    /// <summary>Creates the capability.</summary>
    /// <param name="body">The vendor's bytes after the length byte.</param>
    /// <param name="writable">For each of them, the bits that software may write; none when it is shorter.</param>
    public VendorCapability(ReadOnlySpan<byte> body, ReadOnlySpan<byte> writable = default)
        : base(PciCapabilityId.Vendor, Body + body.Length)
    {
        Define(LengthByte, 1, (uint)Length);
        for (int i = 0; i < body.Length; i++)
        {
            Define(Body + i, 1, body[i], i < writable.Length ? writable[i] : 0u);
        }
    }
}
