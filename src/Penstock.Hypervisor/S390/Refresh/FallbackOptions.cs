namespace Penstock.Hypervisor;

/// <summary>Where the fallback differs from what QEMU does. Everything is on by default; <see cref="Qemu"/> has it off.</summary>
public sealed record FallbackOptions
{
    /// <summary>QEMU's behaviour, known defects included: for telling what a QEMU has sent.</summary>
    public static FallbackOptions Qemu => new()
    {
        KeepsCountExact = false,
        UnmapsInvalidTables = false,
        StopsAtBoundaries = false,
        AnswersFailedMaps = false,
    };

    /// <summary>A page that replaces another, or is there already, takes nothing of the budget. QEMU counts the replacing one again and drifts.</summary>
    public bool KeepsCountExact { get; init; } = true;

    /// <summary>
    /// An invalid segment or region unmaps what was mapped in it. QEMU only forgets those pages, and the device keeps them until the
    /// registration ends.
    /// </summary>
    public bool UnmapsInvalidTables { get; init; } = true;

    /// <summary>An invalid segment or region is left at its end. QEMU adds its size to the address it looked at, be that in the middle.</summary>
    public bool StopsAtBoundaries { get; init; } = true;

    /// <summary>
    /// How many entries and pages a refresh looks at. Past that it gives up with an answer of insufficient resources, and what it has not looked at is unmapped. A guest whose
    /// tables lead to each other can say more than anybody has the time to read; the default is all that a region third table can have.
    /// </summary>
    public long MostLooks { get; init; } = 1 << 30;

    /// <summary>A page that cannot be mapped is an answer of insufficient resources. QEMU writes a log line and takes the page for mapped.</summary>
    public bool AnswersFailedMaps { get; init; } = true;
}
