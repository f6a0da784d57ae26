namespace Penstock.Hypervisor;

/// <summary>The limit of mappings of a container, shared by the functions in it. Guarded by the bus.</summary>
/// <param name="initial">What the backend said at first, in pages.</param>
internal sealed class ZpciDmaLimit(int initial)
{
    /// <summary>What the backend said at first, in pages.</summary>
    public int Initial { get; } = initial;

    /// <summary>How many are left.</summary>
    public DmaBudget Budget { get; } = new(initial);

    /// <summary>How many functions use it.</summary>
    public int Users { get; set; }
}
