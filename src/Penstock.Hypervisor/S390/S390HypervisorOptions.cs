namespace Penstock.Hypervisor;

/// <summary>Settings of an <see cref="S390Hypervisor"/>.</summary>
public sealed class S390HypervisorOptions
{
    /// <summary>Interruption subclass by which the host is told of guests' events and alerts (nisc).</summary>
    public int NotificationSubclass { get; init; } = 5;

    /// <summary>How many functions can have their interruptions forwarded at the same time (ZPCI_NR_DEVICES), 1 to 512.</summary>
    public int Functions { get; init; } = 512;

    /// <summary>Clock and timers.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>Receives a line for each thing that should not be. Called from any thread.</summary>
    public Action<string>? Log { get; init; }
}
