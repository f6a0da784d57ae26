using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>Which capabilities users see, and which of those they may not write.</summary>
internal static class CapabilityRules
{
    public static bool IsShown(PciCapabilityId id) => id is PciCapabilityId.PowerManagement or PciCapabilityId.Agp
        or PciCapabilityId.VitalProductData or PciCapabilityId.Msi or PciCapabilityId.PciX or PciCapabilityId.HyperTransport
        or PciCapabilityId.Vendor or PciCapabilityId.Express or PciCapabilityId.Msix or PciCapabilityId.Sata
        or PciCapabilityId.AdvancedFeatures;

    public static bool IsReadOnly(PciCapabilityId id) =>
        id is PciCapabilityId.Agp or PciCapabilityId.HyperTransport or PciCapabilityId.Msix or PciCapabilityId.Sata;

    public static bool IsShown(PciExtendedCapabilityId id) => id is PciExtendedCapabilityId.AdvancedErrorReporting
        or PciExtendedCapabilityId.VirtualChannel or PciExtendedCapabilityId.DeviceSerialNumber
        or PciExtendedCapabilityId.PowerBudgeting or PciExtendedCapabilityId.MultiFunctionVirtualChannel
        or PciExtendedCapabilityId.VirtualChannel9 or PciExtendedCapabilityId.Vendor or PciExtendedCapabilityId.AccessControl
        or PciExtendedCapabilityId.AlternativeRoutingId or PciExtendedCapabilityId.AddressTranslation
        or PciExtendedCapabilityId.SingleRootIov or PciExtendedCapabilityId.Multicast or PciExtendedCapabilityId.PageRequest
        or PciExtendedCapabilityId.ResizableBar or PciExtendedCapabilityId.DynamicPowerAllocation
        or PciExtendedCapabilityId.ProcessingHints or PciExtendedCapabilityId.LatencyTolerance
        or PciExtendedCapabilityId.DesignatedVendor;

    public static bool IsReadOnly(PciExtendedCapabilityId id) => id is not (PciExtendedCapabilityId.AdvancedErrorReporting
        or PciExtendedCapabilityId.PowerBudgeting or PciExtendedCapabilityId.Vendor or PciExtendedCapabilityId.DesignatedVendor);
}
