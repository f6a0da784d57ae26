namespace Penstock.Testing;

/// <summary>What a <see cref="HostileUser"/> does, and for how long.</summary>
public sealed class HostileUserOptions
{
    /// <summary>Seed of all that is random; a run with the same seed does the same.</summary>
    public int Seed { get; init; } = Random.Shared.Next();

    /// <summary>How many steps.</summary>
    public int Steps { get; init; } = 10_000;

    /// <summary>
    /// Register offsets that are worth more tries than others, in any BAR. With none the first 4 KiB of each BAR are tried most.
    /// </summary>
    public IReadOnlyList<ulong> Registers { get; init; } = [];

    /// <summary>Values that registers are written with beside numbers at the edges, I/O addresses of mapped memory, and random ones.</summary>
    public IReadOnlyList<ulong> Values { get; init; } = [];

    /// <summary>Also memory that is reached by messages and by copies, as a guest's is whose VMM shares nothing.</summary>
    public bool AllKindsOfMemory { get; init; } = true;

    /// <summary>
    /// Asked in the end, with the device opened anew and nothing mapped: makes the device work as an honest user would, and throws
    /// when it does not. Null: nothing is asked.
    /// </summary>
    public Action<FunctionTestBench>? Check { get; init; }

    /// <summary>
    /// Brings the device into an interesting state, as a driver does: runs once after each open and each reset. Null: the device stays as it is.
    /// </summary>
    public Action<FunctionTestBench, Random>? Prepare { get; init; }

    /// <summary>How long one step may take before the model counts as hanging.</summary>
    public TimeSpan StepTimeout { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How many times a failing run is tried again with fewer steps, to find a short reproduction.</summary>
    public int ShrinkAttempts { get; init; } = 200;

    /// <summary>Lines of the device's log that are no failure, as in <see cref="FunctionTestBenchOptions.Tolerates"/>.</summary>
    public Func<string, bool>? Tolerates { get; init; }
}
