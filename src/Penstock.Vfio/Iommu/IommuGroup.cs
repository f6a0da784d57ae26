using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// The smallest set of functions that an IOMMU unit can isolate. Its DMA has at most one owner; from the claim on it is blocked until
/// the owner attaches a domain. All members may be called from any thread.
/// </summary>
public sealed partial class IommuGroup
{
    private readonly Lock _gate = new();
    private volatile IommuDomain? _domain;
    private volatile TranslatingDomain? _translating;
    private volatile GroupState? _vfio;
    private volatile IommufdAccess? _access;
    private volatile int _switches;
    private object? _owner;
    private int _ownerCount;
    private int _foreignDrivers;

    internal IommuGroup(IommuUnit unit, int number, IReadOnlyList<IovaRange> reserved)
    {
        Unit = unit;
        Number = number;
        Reserved = reserved;
    }

    /// <summary>The unit; for an emulated group the host's stand-in for one.</summary>
    public IommuUnit Unit { get; }

    /// <summary>
    /// Whether it is the group of a single device that does no DMA through hardware, such as a mediated one. It comes and goes with its device.
    /// </summary>
    public bool IsEmulated => Unit.IsEmulated;

    /// <summary>Whether its devices have no IOMMU.</summary>
    public bool IsNoIommu => Unit.IsNoIommu;

    /// <summary>The number by which users open it.</summary>
    public int Number { get; }

    /// <summary>Ranges that cannot be mapped while this group is attached.</summary>
    public IReadOnlyList<IovaRange> Reserved { get; }

    /// <summary>The translation in force; null while DMA is blocked.</summary>
    public IommuDomain? Domain => _domain;

    /// <summary>The same, if it translates in this process.</summary>
    internal TranslatingDomain? Translating => _translating;

    /// <summary>How often another translation was put in force.</summary>
    internal int Switches => _switches;

    /// <summary>Whether anybody, driver or user, owns the group's DMA.</summary>
    public bool IsClaimed
    {
        get
        {
            lock (_gate)
            {
                return _ownerCount + _foreignDrivers != 0;
            }
        }
    }

    /// <summary>For an emulated group whose device is bound to an iommufd: the device's way to memory.</summary>
    internal IommufdAccess? Access
    {
        get => _access;
        set => _access = value;
    }

    /// <summary>The VFIO side; null while no device is registered.</summary>
    internal GroupState? Vfio
    {
        get => _vfio;
        set => _vfio = value;
    }

    /// <summary>A driver that uses the host's DMA API binds to a function of the group.</summary>
    /// <exception cref="VfioException">EBUSY: a user owns the group's DMA.</exception>
    public void BindForeignDriver()
    {
        lock (_gate)
        {
            if (_ownerCount != 0)
            {
                throw new VfioException(Errno.EBUSY, $"driver probe in {this}", "a user owns the group's DMA; close it first");
            }

            _foreignDrivers++;
        }
    }

    /// <summary>The driver unbinds.</summary>
    public void UnbindForeignDriver()
    {
        lock (_gate)
        {
            _foreignDrivers = _foreignDrivers > 0 ? _foreignDrivers - 1 : throw new InvalidOperationException($"{this} has no such driver");
        }
    }

    /// <summary>Claims the group's DMA; it is blocked afterwards. The same owner may claim again.</summary>
    /// <param name="owner">Who claims, compared by reference.</param>
    /// <exception cref="VfioException">EPERM: a driver or another owner has it.</exception>
    public void ClaimDma(object owner)
    {
        ArgumentNullException.ThrowIfNull(owner);
        lock (_gate)
        {
            if (_foreignDrivers != 0)
            {
                throw new VfioException(Errno.EPERM, $"claiming DMA of {this}", "another function of the group is bound to a host driver; unbind it");
            }

            if (_ownerCount != 0 && !ReferenceEquals(_owner, owner))
            {
                throw new VfioException(Errno.EPERM, $"claiming DMA of {this}", "another user owns it");
            }

            _owner = owner;
            _ownerCount++;
        }
    }

    /// <summary>Gives one claim back.</summary>
    /// <param name="owner">The owner.</param>
    public void ReleaseDma(object owner)
    {
        lock (_gate)
        {
            if (_ownerCount == 0 || !ReferenceEquals(_owner, owner))
            {
                throw new InvalidOperationException($"{this} is not owned by the releaser");
            }

            if (--_ownerCount == 0)
            {
                _owner = null;
            }
        }
    }

    /// <summary>
    /// Attaches the group to a domain, from blocked or from another domain; when this returns no DMA goes through the old one.
    /// </summary>
    /// <param name="domain">The domain.</param>
    /// <exception cref="VfioException">
    /// EDEADLK: the calling thread is inside a scope of the old one; what the domain's mirror says. Nothing has changed. Domains whose platform
    /// has to be told leave the group blocked when the platform refuses (<see cref="IommuDomain.BlocksFirst"/>).
    /// </exception>
    public void Attach(IommuDomain domain)
    {
        ArgumentNullException.ThrowIfNull(domain);
        SwitchOwn(domain);
    }

    /// <summary>Blocks the group's DMA; when this returns none is in progress.</summary>
    public void Detach() => SwitchOwn(null);

    /// <inheritdoc/>
    public override string ToString() => $"IOMMU group {Number}";

    private void Switch(IommuDomain? domain)
    {
        IommuDomain? old = _domain;
        if (old is { IsEnteredByCaller: true })
        {
            throw new VfioException(Errno.EDEADLK, $"changing the domain of {this}", "the calling thread is inside a scope of it; leave it first");
        }

        if (ReferenceEquals(old, domain))
        {
            return;
        }

        // Without the gate: it may wait for a server. Whoever changes a group's domain holds the lock of what the group is in.
        domain?.Attaching(this);
        if (domain is not null && domain.BlocksFirst(this))
        {
            Publish(null, old);
            old = null;
            domain.Register(this);
        }

        Publish(domain, old);
    }

    private void Publish(IommuDomain? domain, IommuDomain? old)
    {
        lock (_gate)
        {
            _domain = domain;
            _translating = domain as TranslatingDomain;
            _switches++;
        }

        if (old is not null)
        {
            old.Drain();
            old.Detached(this);
        }
    }
}
