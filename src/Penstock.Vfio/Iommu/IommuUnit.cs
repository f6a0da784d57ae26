namespace Penstock.Vfio;

/// <summary>An IOMMU: what isolates groups of functions from each other and translates their addresses.</summary>
public sealed class IommuUnit
{
    private readonly Lock _gate = new();
    private readonly List<IommuGroup> _groups = [];

    internal IommuUnit(VfioHost host, string name, IommuUnitOptions options)
    {
        Host = host;
        Name = name;
        Options = options;
    }

    /// <summary>Name for people.</summary>
    public string Name { get; }

    /// <summary>The host that the unit belongs to.</summary>
    public VfioHost Host { get; }

    /// <summary>What the unit can do.</summary>
    public IommuUnitOptions Options { get; }

    /// <summary>The groups as of now.</summary>
    public IReadOnlyList<IommuGroup> Groups
    {
        get
        {
            lock (_gate)
            {
                return [.. _groups];
            }
        }
    }

    /// <summary>Adds a group with the next free number of the host.</summary>
    /// <param name="reserved">Ranges that this group's functions cannot use, beside those of the unit.</param>
    /// <returns>The group, without functions.</returns>
    public IommuGroup CreateGroup(IReadOnlyList<IovaRange>? reserved = null)
    {
        var group = new IommuGroup(this, Host.NextGroupNumber(), [.. Options.Reserved, .. reserved ?? []]);
        lock (_gate)
        {
            _groups.Add(group);
        }

        Host.Added(group);
        return group;
    }

    /// <summary>Takes a group away again; its number is not given to another one.</summary>
    /// <param name="group">A group of this unit without registered devices.</param>
    /// <exception cref="VfioException">
    /// EBUSY: devices of the group are registered or somebody owns its DMA; ENOENT: not of this unit.
    /// </exception>
    public void RemoveGroup(IommuGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (group.Vfio is not null || group.IsClaimed)
        {
            throw new VfioException(Interop.Errno.EBUSY, $"removing {group}", "its devices are registered or its DMA has an owner; unregister them first");
        }

        lock (_gate)
        {
            if (!_groups.Remove(group))
            {
                throw new VfioException(Interop.Errno.ENOENT, $"removing {group}", $"it is not a group of {Name}");
            }
        }

        Host.Removed(group);
    }

    /// <summary>Makes an empty domain that groups of this unit can be attached to.</summary>
    /// <returns>The domain; the caller disposes it.</returns>
    public SoftwareDomain CreateDomain() => new(Options.Aperture, Options.PageSizes, Host.Ledger);

    /// <inheritdoc/>
    public override string ToString() => $"IOMMU unit {Name}";
}
