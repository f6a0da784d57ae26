namespace Penstock.Vfio;

/// <summary>The whole state of a device: who it is, and its tables. Saves and loads itself. Members may be called from any thread.</summary>
public sealed class DeviceState
{
    private readonly Strand _strand;
    private readonly IReadOnlyList<DeviceStateTable> _tables;
    private readonly Action? _loading;
    private readonly Action? _loaded;

    /// <summary>Puts a state together.</summary>
    /// <param name="identity">What the device is. A state of anything else is refused.</param>
    /// <param name="strand">The device's line of execution, on which its fields and memory are used.</param>
    /// <param name="tables">At least one; their names differ. They are loaded in this order.</param>
    /// <param name="loaded">Called on the strand when everything has been loaded. What it throws fails the load.</param>
    /// <param name="loading">
    /// Called on the strand when everything has been checked, before anything is loaded: brings the device to the state after a reset, so that
    /// what the stream does not have is as then. What it throws fails the load.
    /// </param>
    /// <exception cref="ArgumentException">There is no table, or two have one name.</exception>
    public DeviceState(string identity, Strand strand, IReadOnlyList<DeviceStateTable> tables, Action? loaded = null, Action? loading = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(identity);
        ArgumentNullException.ThrowIfNull(strand);
        ArgumentNullException.ThrowIfNull(tables);
        if (tables.Count == 0 || tables.DistinctBy(static t => t.Name).Count() != tables.Count)
        {
            throw new ArgumentException($"The state of {identity} needs tables with different names.", nameof(tables));
        }

        Identity = identity;
        _strand = strand;
        _tables = [.. tables];
        _loaded = loaded;
        _loading = loading;
    }

    /// <summary>What the device is.</summary>
    public string Identity { get; }

    /// <summary>About how many bytes the whole state takes.</summary>
    public ulong EstimatedSize =>
        _tables.Aggregate(0ul, static (sum, t) => sum + (ulong)t.Fields.Sum(static f => f.Length + f.Name.Length) + (ulong)t.Memories.Sum(static m => (long)m.Memory.Length));

    /// <summary>Begins to save.</summary>
    /// <param name="stopped">Whether the device is stopped.</param>
    /// <returns>The state as a stream.</returns>
    public MigrationSource Save(bool stopped) => new DeviceStateWriter(Identity, _strand, _tables, stopped);

    /// <summary>Begins to load.</summary>
    /// <returns>What takes the stream.</returns>
    public MigrationTarget Load() => new DeviceStateReader(Identity, _strand, _tables, _loading, _loaded);
}
