using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// RPCIT by a shadow: what has changed in the guest's tables is copied into host tables that are lent for it, and every page that is there is pinned, as are the
/// guest's tables themselves (nesting in software).
/// </summary>
public sealed class ShadowRefresh : INestedTranslation
{
    private readonly Lock _gate = new();
    private readonly GuestPins _pins;
    private readonly IShadowTarget _target;
    private readonly ShadowUpdate _shadow;
    private IoatRegistration? _registration;
    private bool _disposed;

    /// <summary>Creates the mode with nothing registered, in the tables of a domain.</summary>
    /// <param name="memory">The guest's memory.</param>
    /// <param name="payer">Who pays for pinned pages; becomes this object's.</param>
    /// <param name="domain">The domain, empty; it is lent to this object until that is disposed, and disposed by its owner after that.</param>
    /// <param name="options">Limits; null for the defaults.</param>
    /// <exception cref="VfioException">EBUSY: the domain is lent already, or something is mapped in it; the payer is disposed all the same.</exception>
    public ShadowRefresh(GuestMemory memory, LockedPages payer, ZpciDomain domain, ShadowOptions? options = null)
        : this(memory, payer, to => new LoanTarget(domain, to), options)
    {
    }

    internal ShadowRefresh(GuestMemory memory, LockedPages payer, Func<object, IShadowTarget> target, ShadowOptions? options)
    {
        ArgumentNullException.ThrowIfNull(payer);
        options ??= new ShadowOptions();
        _pins = new GuestPins(memory, payer);
        try
        {
            _target = target(this);
        }
        catch
        {
            _pins.Dispose();
            throw;
        }

        _pins.Freed = _target.Forget;
        _shadow = new ShadowUpdate(_pins, _target, options.Budget, options.TableLimit, payer.Ledger);
    }

    /// <inheritdoc/>
    public string Name => "shadow";

    /// <inheritdoc/>
    public NestingMode Mode => NestingMode.Shadow;

    /// <inheritdoc/>
    public TranslatingDomain Domain => _target.Domain;

    /// <inheritdoc/>
    public long Pins => _pins.Pins;

    /// <inheritdoc/>
    public long PinnedPages => _pins.Pages;

    /// <summary>Pages in the shadow.</summary>
    public long Entries => _shadow.Entries;

    /// <summary>Entries that were there and were taken away or changed, so far.</summary>
    public long Changed => _shadow.Changed;

    /// <inheritdoc/>
    public override string ToString() => Name;

    /// <inheritdoc/>
    public Errno Register(IoatRegistration registration)
    {
        lock (_gate)
        {
            if (_registration is not null || _disposed)
            {
                return Errno.EBUSY;
            }

            Iota iota = registration.Iota;
            if (!iota.HasTable || iota.DesignationType != ZpciDesignationType.RegionThird)
            {
                return Errno.EOPNOTSUPP;
            }

            Errno errno = _shadow.PinRoot(iota);
            if (errno == Errno.None)
            {
                _registration = registration;
            }

            return errno;
        }
    }

    /// <inheritdoc/>
    public void Deregister()
    {
        lock (_gate)
        {
            if (_registration is not null)
            {
                _registration = null;
                _shadow.Clear();
            }
        }
    }

    /// <inheritdoc/>
    public RpcitAnswer Refresh(ulong start, ulong length)
    {
        lock (_gate)
        {
            if (_registration is not { } registration)
            {
                return RpcitAnswer.Failed(ZpciErrorEvent.InvalidAddressSpace, start);
            }

            ZpciErrorEvent fault = registration.Aperture.Clamp(start, length, out ulong first, out ulong pages);
            if (fault != ZpciErrorEvent.None)
            {
                return RpcitAnswer.Failed(fault, start);
            }

            if (pages == 0)
            {
                return _shadow.HasBudget ? RpcitAnswer.Done : RpcitAnswer.Insufficient;
            }

            fault = _shadow.Refresh(registration.Iota, first, first + ((pages * ZpciIoTable.PageSize) - 1), out ulong reached, out bool full);
            return fault != ZpciErrorEvent.None ? RpcitAnswer.Failed(fault, reached)
                : full ? RpcitAnswer.Insufficient
                : RpcitAnswer.Done;
        }
    }

    /// <summary>Deregisters and returns the tables to the domain's users.</summary>
    public void Dispose()
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            _registration = null;
            _shadow.Dispose();
            _target.Dispose();
            _pins.Dispose();
        }
    }
}
