namespace Penstock.Specs.Pci;

/// <summary>Ids of capabilities in extended configuration space (PCI Code and ID Assignment, section 3).</summary>
public enum PciExtendedCapabilityId : ushort
{
    /// <summary>Null.</summary>
    Null = 0x00,

    /// <summary>Advanced error reporting.</summary>
    AdvancedErrorReporting = 0x01,

    /// <summary>Virtual channel.</summary>
    VirtualChannel = 0x02,

    /// <summary>Device serial number.</summary>
    DeviceSerialNumber = 0x03,

    /// <summary>Power budgeting.</summary>
    PowerBudgeting = 0x04,

    /// <summary>Multi-function virtual channel.</summary>
    MultiFunctionVirtualChannel = 0x08,

    /// <summary>Virtual channel, where a multi-function one exists.</summary>
    VirtualChannel9 = 0x09,

    /// <summary>Vendor specific.</summary>
    Vendor = 0x0b,

    /// <summary>Access control services.</summary>
    AccessControl = 0x0d,

    /// <summary>Alternative routing id.</summary>
    AlternativeRoutingId = 0x0e,

    /// <summary>Address translation services.</summary>
    AddressTranslation = 0x0f,

    /// <summary>Single root I/O virtualisation.</summary>
    SingleRootIov = 0x10,

    /// <summary>Multicast.</summary>
    Multicast = 0x12,

    /// <summary>Page request interface.</summary>
    PageRequest = 0x13,

    /// <summary>Resizable BAR.</summary>
    ResizableBar = 0x15,

    /// <summary>Dynamic power allocation.</summary>
    DynamicPowerAllocation = 0x16,

    /// <summary>Transaction processing hints.</summary>
    ProcessingHints = 0x17,

    /// <summary>Latency tolerance reporting.</summary>
    LatencyTolerance = 0x18,

    /// <summary>Process address space id.</summary>
    ProcessAddressSpaceId = 0x1b,

    /// <summary>Designated vendor specific.</summary>
    DesignatedVendor = 0x23,
}
