namespace Penstock.Hypervisor;

/// <summary>Limits of a shadow.</summary>
public sealed record ShadowOptions
{
    /// <summary>How many pages there may be, together with whoever has the same budget; null when only locked memory is limited.</summary>
    public DmaBudget? Budget { get; init; }

    /// <summary>
    /// Most leaf tables, of 1 MiB of I/O addresses each. A guest can use one page table in many places, so what a shadow costs needs a limit of its own.
    /// </summary>
    public int TableLimit { get; init; } = 1 << 16;
}
