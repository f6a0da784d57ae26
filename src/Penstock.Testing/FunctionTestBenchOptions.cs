using Penstock.Specs.Pci;

namespace Penstock.Testing;

/// <summary>How a <see cref="FunctionTestBench"/> is set up.</summary>
public sealed class FunctionTestBenchOptions
{
    /// <summary>Name of the slot.</summary>
    public string Address { get; init; } = "0000:01:00.0";

    /// <summary>What is written to the command register after each open; null leaves it as the function has it.</summary>
    public PciCommand? Command { get; init; } = PciCommand.Io | PciCommand.Memory | PciCommand.BusMaster;

    /// <summary>The host's clock; a <see cref="ManualTime"/> to move it by hand. A model with timers takes its clock by itself.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How long waits last before they fail. Generous, since it costs time only where a test fails.</summary>
    public TimeSpan Patience { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Lines of the device's log that are no failure. By default every line is one, as the core writes a line only when a model threw or
    /// something else went wrong.
    /// </summary>
    public Func<string, bool>? Tolerates { get; init; }
}
