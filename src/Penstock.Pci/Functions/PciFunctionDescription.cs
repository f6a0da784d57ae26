using Penstock.Specs.Pci;

namespace Penstock.Pci;

/// <summary>The facts of a function that never change: identity, BARs and capabilities.</summary>
public sealed class PciFunctionDescription
{
    /// <summary>Vendor id.</summary>
    public required ushort VendorId { get; init; }

    /// <summary>Device id.</summary>
    public required ushort DeviceId { get; init; }

    /// <summary>Subsystem vendor id.</summary>
    public ushort SubsystemVendorId { get; init; }

    /// <summary>Subsystem id.</summary>
    public ushort SubsystemId { get; init; }

    /// <summary>Class, subclass and programming interface as one 24-bit number, for example 0x010802.</summary>
    public required uint ClassCode { get; init; }

    /// <summary>Revision.</summary>
    public byte Revision { get; init; }

    /// <summary>1 to 4 for INTA to INTD, 0 for none.</summary>
    public byte InterruptPin { get; init; }

    /// <summary>
    /// Bits of the command register that are set from the start, as firmware leaves a device that has to work before a driver
    /// enables it. Normally none.
    /// </summary>
    public PciCommand InitialCommand { get; init; }

    /// <summary>The base address registers.</summary>
    public IReadOnlyList<PciBar> Bars { get; init; } = [];

    /// <summary>Makes the function's capabilities, in list order; called once for each device made from the description.</summary>
    public Func<IReadOnlyList<PciCapability>> Capabilities { get; init; } = static () => [];
}
