using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>A group of functions as a guest sees it: limits that all of them share.</summary>
/// <param name="Id">Its id.</param>
public sealed record ZpciGuestGroup(byte Id)
{
    /// <summary>Number of interrupts of a function.</summary>
    public ushort Interrupts { get; init; } = ZpciLimits.Interrupts;

    /// <summary>Longest store of a block in bytes.</summary>
    public ushort MaximumStore { get; init; } = ZpciLimits.MaximumStore;

    /// <summary>Interval of measurements in milliseconds.</summary>
    public ushort MeasurementInterval { get; init; } = ZpciLimits.MeasurementInterval;

    /// <summary>Which bits of DMA addresses select an address space.</summary>
    public ulong DmaAddressMask { get; init; }

    /// <summary>Where messages are sent.</summary>
    public ulong MsiAddress { get; init; } = ZpciLimits.MsiAddress;

    /// <summary>Version.</summary>
    public byte Version { get; init; }

    /// <summary>Which types of tables may be registered; see <see cref="ZpciDtsm"/>.</summary>
    public byte DesignationTypes { get; init; } = ZpciDtsm.RegionThirdOnly;

    /// <summary>Whether a function may do without tables.</summary>
    public bool HasRelaxedTranslation { get; init; }

    /// <summary>What the guest is told.</summary>
    internal ZpciClpQueryGroupResponse Answer => new()
    {
        Interrupts = Interrupts,
        Version = Version,
        Flags = (byte)(ZpciClpQueryGroupResponse.Refresh | (HasRelaxedTranslation ? ZpciClpQueryGroupResponse.RelaxedTranslation : 0)),
        MaximumStore = MaximumStore,
        MeasurementInterval = MeasurementInterval,
        DesignationTypes = DesignationTypes,
        DmaAddressMask = DmaAddressMask,
        MsiAddress = MsiAddress,
    };

    /// <summary>With what a device's capability says; the rest stays.</summary>
    internal ZpciGuestGroup With(ZpciDeviceInfo info, bool interpreted) => info.Group is not { } host ? this : this with
    {
        Interrupts = (ushort)Math.Min(host.Interrupts, ZpciClpQueryGroupResponse.InterruptsMask),
        MaximumStore = (ushort)Math.Min(
            interpreted && info.MaximumInterpretedStore is { } longest ? longest : host.MaximumStore, ZpciClpQueryGroupResponse.MaximumStoreMask),
        MeasurementInterval = host.MeasurementInterval,
        DmaAddressMask = host.DmaAddressMask,
        MsiAddress = host.MsiAddress,
        Version = host.Version,
    };
}
