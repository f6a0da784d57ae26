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

    /// <summary>
    /// Whether it is the host's stand-in for a unit: what emulated groups have for one. No hardware is behind it, the host does not list
    /// it, and its domains only serve the DMA ports of emulated devices.
    /// </summary>
    public bool IsEmulated { get; internal init; }

    /// <summary>Whether it stands for having no IOMMU at all: its groups are not isolated, and nothing can be attached to a domain.</summary>
    public bool IsNoIommu { get; internal init; }

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
    /// <exception cref="VfioException">EINVAL: emulated groups come with their device, see <see cref="VfioHost.RegisterEmulated"/>.</exception>
    public IommuGroup CreateGroup(IReadOnlyList<IovaRange>? reserved = null) => IsEmulated
        ? throw new VfioException(Interop.Errno.EINVAL, $"adding a group to {this}", "emulated groups come with their device; register the device as an emulated one")
        : AddGroup(reserved);

    internal IommuGroup AddGroup(IReadOnlyList<IovaRange>? reserved = null)
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
    /// EBUSY: devices of the group are registered, somebody owns its DMA, or it is attached to a domain; ENOENT: not of this unit.
    /// </exception>
    public void RemoveGroup(IommuGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (group.Vfio is not null || group.IsClaimed)
        {
            throw new VfioException(Interop.Errno.EBUSY, $"removing {group}", "its devices are registered or its DMA has an owner; unregister them first");
        }

        if (group.IsAttached)
        {
            throw new VfioException(Interop.Errno.EBUSY, $"removing {group}", "it is attached to a domain; detach it first");
        }

        if (!Forget(group))
        {
            throw new VfioException(Interop.Errno.ENOENT, $"removing {group}", $"it is not a group of {Name}");
        }
    }

    internal bool Forget(IommuGroup group)
    {
        lock (_gate)
        {
            if (!_groups.Remove(group))
            {
                return false;
            }
        }

        Host.Removed(group);
        return true;
    }

    /// <summary>Makes an empty domain that groups of this unit can be attached to.</summary>
    /// <returns>The domain; the caller disposes it.</returns>
    public TranslatingDomain CreateDomain() => Options.CreateDomain is { } create
        ? create(this)
        : new SoftwareDomain(Options.Aperture, Options.PageSizes, Host.Ledger, Options.CreateMirror?.Invoke());

    /// <inheritdoc/>
    public override string ToString() => $"IOMMU unit {Name}";
}
