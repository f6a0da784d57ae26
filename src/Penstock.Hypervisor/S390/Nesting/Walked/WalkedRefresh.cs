using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// RPCIT where devices walk the guest's tables at each access: it drops what was kept of walks, and looks whether the tables are right, so
/// that the guest gets the same answers as ever. It pins nothing; all of the guest's memory is pinned while tables are registered, since
/// nobody can pin at an access (nesting as hardware does it).
/// </summary>
public sealed class WalkedRefresh : INestedTranslation
{
    // A scope must be short: more is looked at in pieces.
    private const ulong PerScope = 1ul << 28;

    // All that a region third table can have. Larger tables have no end when all of their entries lead to one table.
    private const int MostPieces = 1 << 14;

    // Not held while tables are looked at: that may take seconds, if a guest wants it to.
    private readonly Lock _gate = new();
    private readonly GuestPins? _pins;
    private readonly WalkedDomain _domain;
    private IoatRegistration? _registration;
    private long _registrations;
    private bool _disposed;

    /// <summary>Creates the mode with nothing registered, over the slots of a machine's memory.</summary>
    /// <param name="memory">The guest's memory.</param>
    /// <param name="payer">Who pays for pinned pages; becomes this object's.</param>
    public WalkedRefresh(GuestMemory memory, LockedPages payer)
        : this(memory, payer, null)
    {
    }

    /// <summary>As the other one, with ranges that somebody outside of this process appends.</summary>
    internal WalkedRefresh(GuestMemory memory, LockedPages payer, IOuterInvalidations? outer)
    {
        ArgumentNullException.ThrowIfNull(payer);
        _pins = new GuestPins(memory, payer);
        _domain = new WalkedDomain(_pins, payer.Ledger, outer);
        _pins.Add(_domain);
    }

    /// <summary>Creates the mode on a page table that maps the guest's memory, and has pinned what it maps.</summary>
    /// <param name="below">The page table's domain: guest addresses are its I/O addresses. It stays as long as this object.</param>
    /// <param name="ledger">Where memory is counted.</param>
    internal WalkedRefresh(TranslatingDomain below, ResourceLedger ledger) => _domain = new WalkedDomain(below, ledger);

    /// <inheritdoc/>
    public string Name => "nested";

    /// <inheritdoc/>
    public NestingMode Mode => NestingMode.Walked;

    /// <inheritdoc/>
    public TranslatingDomain Domain => _domain;

    /// <inheritdoc/>
    public long Pins => _pins?.Pins ?? 0;

    /// <inheritdoc/>
    public long PinnedPages => _pins?.Pages ?? 0;

    /// <summary>Accesses of devices that had to walk, so far.</summary>
    public long Walks => _domain.Walks;

    /// <summary>Refreshes that had to wait for accesses in progress, so far.</summary>
    public long Waits => _domain.Waits;

    /// <summary>How often invalidations came faster than they were drained, so that everything was dropped.</summary>
    public long Overflows => _domain.Overflows;

    /// <summary>Lines from outside take effect.</summary>
    internal void DrainOuter(uint from, uint until) => _domain.DrainOuter(from, until);

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

            if (!registration.Iota.HasTable)
            {
                return Errno.EOPNOTSUPP;
            }

            Errno errno = _pins?.PinAll() ?? Errno.None;
            if (errno == Errno.None)
            {
                _registration = registration;
                _registrations++;
                _domain.Assign(registration);
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
                _domain.Clear();
                _pins?.UnpinAll();
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>Other calls do not wait for its look at the tables; a registration that ends meanwhile ends it.</remarks>
    public RpcitAnswer Refresh(ulong start, ulong length)
    {
        IoatRegistration registered;
        ulong first;
        ulong last;
        long number;
        lock (_gate)
        {
            if (_registration is not { } registration)
            {
                return RpcitAnswer.Failed(ZpciErrorEvent.InvalidAddressSpace, start);
            }

            ZpciErrorEvent fault = registration.Aperture.Clamp(start, length, out first, out ulong pages);
            if (fault != ZpciErrorEvent.None)
            {
                return RpcitAnswer.Failed(fault, start);
            }

            if (pages == 0)
            {
                return RpcitAnswer.Done;
            }

            last = first + ((pages * ZpciIoTable.PageSize) - 1);
            _domain.Invalidate(first, last);
            (registered, number) = (registration, _registrations);
        }

        return Look(registered.Iota, number, first, last);
    }

    /// <summary>Deregisters; nothing is reached through the domain any more.</summary>
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
            _domain.Clear();
            _pins?.Remove(_domain);
            _pins?.Dispose();
            _domain.Dispose();
        }
    }

    /// <summary>Enters a scope, unless the registration is over: then there may be nothing left to look at.</summary>
    private bool TryEnter(long number, out DmaScope scope)
    {
        lock (_gate)
        {
            bool goesOn = _registration is not null && _registrations == number;

            // Inside the gate: whoever ends the registration waits for this scope.
            scope = goesOn ? _domain.Enter() : default;
            return goesOn;
        }
    }

    private RpcitAnswer Look(Iota iota, long number, ulong first, ulong last)
    {
        var check = new Check(_domain.Space);
        ulong at = first;
        for (int pieces = 0; ; pieces++)
        {
            ulong until = Math.Min(last, at | (PerScope - 1));

            if (!TryEnter(number, out DmaScope scope))
            {
                return check.Missing ? RpcitAnswer.Insufficient : RpcitAnswer.Done;
            }

            // The tables' memory stays while the scope lasts.
            using (scope)
            {
                var walk = new RangeWalk<Check>(new SpaceTableReader(_domain.Space), ref check, at, until);
                ZpciErrorEvent fault = walk.Walk(iota);
                if (fault != ZpciErrorEvent.None)
                {
                    return RpcitAnswer.Failed(fault, walk.At);
                }

                check.Leave();
            }

            // An entry that leads nowhere says so of all addresses below it, also of those in later pieces.
            until = Math.Max(until, check.NothingUntil);
            if (until >= last)
            {
                return check.Missing ? RpcitAnswer.Insufficient : RpcitAnswer.Done;
            }

            if (pieces == MostPieces)
            {
                return RpcitAnswer.Insufficient;
            }

            at = until + 1;
        }
    }

    /// <summary>Looks whether pages are memory. Tables that lead elsewhere are refused as the VMM refuses them: it cannot map them.</summary>
    private struct Check(IGuestSpace space) : IRangeVisitor
    {
        private ulong _start;
        private ulong _length;

        public readonly bool SkipsFrame => false;

        public readonly bool IsDone => false;

        internal bool Missing { get; private set; }

        /// <summary>Last address below the last entry that leads nowhere.</summary>
        internal ulong NothingUntil { get; private set; }

        /// <summary>What is known of memory ends with the scope.</summary>
        internal void Leave() => _length = 0;

        public readonly void Table(ZpciTableLevel level, ulong iova, ulong origin)
        {
        }

        public readonly void Frame(ulong iova)
        {
        }

        public void Page(ulong iova, ulong address, bool writable)
        {
            // Pages of one piece of memory follow each other.
            if (address - _start >= _length)
            {
                if (space.Find(address, DmaAccess.Read, out DmaTarget target) != Errno.None)
                {
                    Missing = true;
                    return;
                }

                _start = address;
                _length = target.Length;
            }
        }

        public void Nothing(ZpciTableLevel level, ulong first, ulong last) => NothingUntil = first | ((1ul << (int)level) - 1);
    }
}
