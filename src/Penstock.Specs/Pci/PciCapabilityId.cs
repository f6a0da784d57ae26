namespace Penstock.Specs.Pci;

/// <summary>Ids of capabilities in conventional configuration space (PCI Code and ID Assignment, section 2).</summary>
public enum PciCapabilityId : byte
{
    /// <summary>Null.</summary>
    Null = 0x00,

    /// <summary>Power management.</summary>
    PowerManagement = 0x01,

    /// <summary>Accelerated graphics port.</summary>
    Agp = 0x02,

    /// <summary>Vital product data.</summary>
    VitalProductData = 0x03,

    /// <summary>Slot identification.</summary>
    SlotId = 0x04,

    /// <summary>Message signalled interrupts.</summary>
    Msi = 0x05,

    /// <summary>PCI-X.</summary>
    PciX = 0x07,

    /// <summary>HyperTransport.</summary>
    HyperTransport = 0x08,

    /// <summary>Vendor specific.</summary>
    Vendor = 0x09,

    /// <summary>PCI Express.</summary>
    Express = 0x10,

    /// <summary>Extended message signalled interrupts.</summary>
    Msix = 0x11,

    /// <summary>SATA.</summary>
    Sata = 0x12,

    /// <summary>Advanced features.</summary>
    AdvancedFeatures = 0x13,
}
