using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>What a guest's zPCI has.</summary>
public sealed class ZpciBusOptions
{
    /// <summary>The clock of measurements.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Which types of tables guests may register, see <see cref="ZpciDtsm"/>. Linux guests know no other value than this.</summary>
    public byte DesignationTypes { get; init; } = ZpciDtsm.RegionThirdOnly;

    /// <summary>Whether the guest may have adapter interruptions of a subclass held back (facility 72).</summary>
    public bool InterruptionSuppression { get; init; } = true;

    /// <summary>How many events wait for the guest at most.</summary>
    public int MaximumEvents { get; init; } = 1024;

    /// <summary>Receives adapter interruptions, by subclass; null for the machine's own. Called on any thread; must not wait.</summary>
    public Action<int>? Inject { get; init; }

    /// <summary>Receives a line for each thing that somebody should know; called from any thread.</summary>
    public Action<string>? Log { get; init; }
}
