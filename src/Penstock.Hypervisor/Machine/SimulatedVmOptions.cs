using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>What a simulated machine has.</summary>
public sealed class SimulatedVmOptions
{
    /// <summary>An interrupt controller.</summary>
    public bool InterruptController { get; init; } = true;

    /// <summary>Only the part of the controller that messages need: level triggered lines are the VMM's.</summary>
    public bool SplitInterruptController { get; init; }

    /// <summary>Interrupts cannot come straight from their source; the machine refuses to be joined with any.</summary>
    public bool RefusesBypass { get; init; }

    /// <summary>Who runs it, and pays for what of its memory is pinned; null for this process.</summary>
    public Caller? User { get; init; }
}
