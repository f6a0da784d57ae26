using System.Collections.Concurrent;
using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The IOMMU of an s390 host's functions: a unit whose domains are <see cref="ZpciDomain"/>s, for containers and iommufds alike. Each function is a
/// group of its own. All members may be called from any thread.
/// </summary>
public sealed class ZpciIommu
{
    private readonly VfioHost _host;
    private readonly ConcurrentDictionary<IommuGroup, IZpciHostFunction> _functions = new();
    private readonly ZpciIommuOptions _options;
    private readonly ZpciDomainSetup _setup;

    /// <summary>Adds a unit to a host.</summary>
    /// <param name="host">The host.</param>
    /// <param name="name">Name for people.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    public ZpciIommu(VfioHost host, string name, ZpciIommuOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(host);
        _host = host;
        _options = options ?? new ZpciIommuOptions();
        _setup = new ZpciDomainSetup
        {
            Type = _options.Type,
            TableMemory = _options.TableMemory,
            Ledger = host.Ledger,
            FunctionsOf = group => _functions.TryGetValue(group, out IZpciHostFunction? function) ? [function] : [],
        };
        Aperture = new IovaRange(0, HostIoTables.LastAddress(_options.Type));
        Unit = host.AddIommuUnit(name, new IommuUnitOptions
        {
            Aperture = Aperture,
            PageSizes = ZpciIoTable.PageSize,
            DirtyTracking = false,
            CreateDomain = _ => CreateDomain(),
            NestedTranslations = _options.NestedTranslations,
        });
    }

    /// <summary>The unit.</summary>
    public IommuUnit Unit { get; }

    /// <summary>What the tables translate.</summary>
    public IovaRange Aperture { get; }

    /// <summary>Adds a function: cuts its window to what the tables and the wanted aperture allow, and makes its group.</summary>
    /// <param name="function">The function.</param>
    /// <returns>Its group; what lies outside of the window is reserved.</returns>
    /// <exception cref="VfioException">EINVAL: its window is empty, or the tables reach none of it.</exception>
    public IommuGroup AddFunction(IZpciHostFunction function)
    {
        ArgumentNullException.ThrowIfNull(function);
        IovaRange window = function.DmaWindow;
        if (window.First > window.Last || window.First > Aperture.Last || ZpciAperture.FirstPage(window) < window.First)
        {
            throw new VfioException(Errno.EINVAL, $"adding {function.Name}", $"nothing of its DMA addresses {window} is in the tables' {Aperture}");
        }

        ulong wanted = _options.ApertureFactor == 0 || _options.HostMemory == 0 ? 0 : Times(_options.HostMemory, _options.ApertureFactor);
        ulong last = ZpciAperture.Choose(window, wanted, type => type <= _options.Type).Window.Last;
        function.LimitDma(Math.Min(last, Aperture.Last));
        IommuGroup group = Unit.CreateGroup(ReservedFor(function, translates: true));
        _functions[group] = function;
        return group;
    }

    /// <summary>Removes a function and its group.</summary>
    /// <param name="group">The group.</param>
    /// <exception cref="VfioException">
    /// EBUSY: its device is registered, somebody owns its DMA, or its group is attached to a domain; ENOENT: not of this unit.
    /// </exception>
    public void RemoveFunction(IommuGroup group)
    {
        Unit.RemoveGroup(group);
        _functions.TryRemove(group, out _);
    }

    /// <summary>The function of a group; null when it is none of this IOMMU.</summary>
    /// <param name="group">The group.</param>
    /// <returns>The function.</returns>
    public IZpciHostFunction? FunctionOf(IommuGroup group) => _functions.GetValueOrDefault(group);

    /// <summary>I/O addresses that cannot be mapped for a function.</summary>
    /// <param name="function">The function.</param>
    /// <param name="translates">Whether a translation is in force; while DMA is blocked or addresses are real ones, nothing above the window is reserved.</param>
    /// <returns>The ranges, ascending.</returns>
    public IReadOnlyList<IovaRange> ReservedFor(IZpciHostFunction function, bool translates)
    {
        ArgumentNullException.ThrowIfNull(function);
        IovaRange window = function.DmaWindow;
        var reserved = new List<IovaRange>();
        ulong first = ZpciAperture.FirstPage(window);
        if (first != 0)
        {
            reserved.Add(new IovaRange(0, first - 1));
        }

        if (translates && window.Last < Aperture.Last)
        {
            reserved.Add(new IovaRange(window.Last + 1, Aperture.Last));
        }

        return reserved;
    }

    /// <summary>Makes an empty domain; containers and page tables of the unit make theirs in the same way.</summary>
    /// <returns>The domain; the caller disposes it.</returns>
    /// <exception cref="VfioException">ENOMEM: no memory for the first table.</exception>
    public ZpciDomain CreateDomain() => new(_setup);

    /// <summary>Makes a domain without translation: a function's first DMA address is the first byte of memory.</summary>
    /// <param name="memory">All memory; the domain takes a reference.</param>
    /// <returns>The domain; the caller disposes it.</returns>
    /// <exception cref="VfioException">EOPNOTSUPP: functions cannot do without translation.</exception>
    public ZpciIdentityDomain CreateIdentityDomain(UserMemory memory) => _options.RelaxedTranslation
        ? new ZpciIdentityDomain(memory, FunctionOf)
        : throw new VfioException(Errno.EOPNOTSUPP, "making a domain without translation", "the functions have no relaxed translation");

    /// <summary>Attaches a function to an address space for a driver of this process, as the host's own DMA API does; users cannot have it meanwhile.</summary>
    /// <param name="group">The function's group.</param>
    /// <param name="options">Settings; null for the defaults.</param>
    /// <returns>The address space; disposing it detaches the function.</returns>
    /// <exception cref="VfioException">EBUSY: a user owns the group's DMA; EINVAL: no function of this IOMMU; EIO: firmware refuses; ENOMEM.</exception>
    public ZpciDmaSpace OpenDmaSpace(IommuGroup group, ZpciDmaOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(group);
        IZpciHostFunction function = FunctionOf(group)
            ?? throw new VfioException(Errno.EINVAL, $"DMA of {group}", "it has no function of this IOMMU");
        return new ZpciDmaSpace(this, group, function, options ?? new ZpciDmaOptions(), _host.Options.Time);
    }

    /// <summary>Gives a function the translation of its group again, after it was disabled and enabled.</summary>
    /// <param name="group">Its group.</param>
    /// <exception cref="VfioException">EIO: firmware refuses; its DMA is blocked.</exception>
    public void RestoreTranslation(IommuGroup group)
    {
        ArgumentNullException.ThrowIfNull(group);
        if (FunctionOf(group) is not { } function)
        {
            return;
        }

        switch (group.Domain)
        {
            case ZpciDomain domain:
                domain.Reregister(function);
                break;
            case ZpciIdentityDomain:
                ZpciIdentityDomain.Reregister(function);
                break;
            default:
                break;
        }
    }

    private static ulong Times(ulong memory, ulong factor) => memory > ulong.MaxValue / factor ? ulong.MaxValue : memory * factor;
}
