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

    /// <summary>
    /// By which firmware knows the machine when it serves the guest's zPCI instructions itself (GISA designation); 0 when it serves none.
    /// </summary>
    public uint ZpciDesignation { get; init; }
}
