using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>How a function is plugged into a guest.</summary>
public sealed class ZpciFunctionOptions
{
    /// <summary>Function id; null for one that is free.</summary>
    public uint? FunctionId { get; init; }

    /// <summary>User-defined id, not 0; null for one that is free.</summary>
    public ushort? UserId { get; init; }

    /// <summary>Whether firmware serves the guest's loads and stores, where machine and device allow it.</summary>
    public bool Interpret { get; init; } = true;

    /// <summary>Whether firmware delivers the interruptions of an interpreted function; otherwise the host does.</summary>
    public bool ForwardingAssist { get; init; } = true;

    /// <summary>Whether the guest may do without tables, so that all of its memory is the device's. Never for internal shared memory.</summary>
    public bool RelaxedTranslation { get; init; } = true;

    /// <summary>
    /// What serves the guest's refreshes, owned by the function once it is plugged; null for what <see cref="Nesting"/> has for the device, and for the VMM's
    /// own way, page by page through <see cref="Container"/>. <see cref="ZpciGuestFunction.SetMode"/> changes it.
    /// </summary>
    public IRefreshMode? Mode { get; init; }

    /// <summary>
    /// The driver of containers that belong to machines: where the device's group is in one of them, the guest's tables are followed by what it made.
    /// </summary>
    public ZpciKvmDriver? Nesting { get; init; }

    /// <summary>The container of the device's group; null when the device does no DMA, or something else maps.</summary>
    public VfioContainer? Container { get; init; }

    /// <summary>Whether the guest has it at once; otherwise it stands by until it is configured.</summary>
    public bool IsConfigured { get; init; } = true;

    /// <summary>Whether the guest runs and is told.</summary>
    public bool IsHotplugged { get; init; }
}
