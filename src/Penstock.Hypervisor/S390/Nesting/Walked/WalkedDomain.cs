using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// A domain whose tables are the guest's: each access walks them, unless the result of an earlier walk was kept (<see cref="Iotlb"/>). A
/// refresh appends its range to a ring that is drained before the next translation, and waits for accesses in progress only if any has
/// looked at the range. When it returns nothing is reached any more that the tables do not say. User maps are refused: the tables are
/// somebody else's.
/// </summary>
internal sealed class WalkedDomain : TranslatingDomain, IGuestReader
{
    private const int PageShift = (int)ZpciTableLevel.Page;

    private readonly Lock _gate = new();
    private readonly IGuestSpace _space;
    private readonly Iotlb _kept;
    private readonly InvalidationRing _ring;
    private readonly TouchedPages _touched;
    private readonly IOuterInvalidations? _outer;
    private ulong _iota;
    private ulong _first;
    private ulong _last;
    private long _walks;
    private long _waits;
    private bool _disposed;

    /// <summary>Creates it over a guest's slots.</summary>
    internal WalkedDomain(GuestPins pins, ResourceLedger ledger, IOuterInvalidations? outer = null)
    {
        _space = new PinnedSpace(pins);
        _outer = outer;
        (_kept, _ring, _touched) = (new Iotlb(ledger), new InvalidationRing(ledger) { Outer = outer }, new TouchedPages(ledger));
    }

    /// <summary>Creates it on a page table that maps the guest's memory.</summary>
    internal WalkedDomain(TranslatingDomain below, ResourceLedger ledger)
        : base(below)
    {
        _space = new Below(below);
        (_kept, _ring, _touched) = (new Iotlb(ledger), new InvalidationRing(ledger), new TouchedPages(ledger));
    }

    public override IovaRange Aperture => IovaRange.All;

    public override ulong PageSizes => ZpciIoTable.PageSize;

    public override int Count => 0;

    /// <summary>Walks of devices so far: accesses whose result was not kept.</summary>
    internal long Walks => Interlocked.Read(ref _walks);

    /// <summary>Refreshes that had to wait for accesses in progress.</summary>
    internal long Waits => Interlocked.Read(ref _waits);

    /// <summary>How often the ring was full.</summary>
    internal long Overflows => _ring.Overflows;

    internal IGuestSpace Space => _space;

    public override void Map(ulong iova, ulong size, DmaAccess access, UserMemory memory, ulong memoryOffset) =>
        throw new VfioException(Errno.EBUSY, "mapping", "the guest's own tables translate; they are changed by RPCIT");

    public override ulong Unmap(IovaRange range) =>
        throw new VfioException(Errno.EBUSY, "unmapping", "the guest's own tables translate; they are changed by RPCIT");

    void IGuestReader.WaitForScopes() => WaitForScopes();

    /// <summary>From now on these tables translate.</summary>
    internal void Assign(IoatRegistration registration)
    {
        lock (_gate)
        {
            _first = registration.Aperture.First;
            _last = registration.Aperture.Last;
            Volatile.Write(ref _iota, registration.Iota.Value);
        }
    }

    /// <summary>From now on nothing translates; when it returns no access is in progress.</summary>
    internal void Clear()
    {
        lock (_gate)
        {
            Volatile.Write(ref _iota, 0);
            _ring.Append(0, ulong.MaxValue >> PageShift);
            _touched.Take(0, ulong.MaxValue >> PageShift);
            WaitForScopes();
        }
    }

    /// <summary>Entries of a range may have changed.</summary>
    internal void Invalidate(ulong first, ulong last)
    {
        lock (_gate)
        {
            _ring.Append(first >> PageShift, last >> PageShift);
            if (_touched.Take(first >> PageShift, last >> PageShift))
            {
                _waits++;
                WaitForScopes();
            }
        }
    }

    /// <summary>Lines from outside take effect: when it returns nothing is reached any more that the tables do not say. One thread at a time.</summary>
    internal void DrainOuter(uint from, uint until)
    {
        lock (_gate)
        {
            var spin = default(SpinWait);
            while (!_ring.TryDrain(_kept))
            {
                spin.SpinOnce();
            }

            bool touched = until - from > InvalidationRing.MostOuter && _touched.Take(0, ulong.MaxValue >> PageShift);
            for (uint at = from; at != until && until - from <= InvalidationRing.MostOuter; at++)
            {
                touched |= !_outer!.TryReadLine(at, out ulong start, out ulong length) || length == 0
                    ? _touched.Take(0, ulong.MaxValue >> PageShift)
                    : _touched.Take(start >> PageShift, (start + (length - 1)) >> PageShift);
            }

            _waits += touched ? 1 : 0;

            // Also without a mark in these lines: whoever appends is told that nobody is busy, which is said of every page.
            WaitForScopes();
        }
    }

    protected override Errno Translate(ulong iova, DmaAccess access, out DmaTarget target)
    {
        target = default;
        if (Volatile.Read(ref _iota) == 0)
        {
            return Errno.EFAULT;
        }

        ulong page = iova >> PageShift;
        _touched.Mark(page);
        _outer?.MarkBusy();

        // After the mark: what is appended from now on has somebody who waits for this scope.
        bool keeps = !_ring.IsPending || _ring.TryDrain(_kept);
        ulong iota = Volatile.Read(ref _iota);
        if (iota == 0 || iova < _first || iova > _last)
        {
            return Errno.EFAULT;
        }

        if (!keeps || !_kept.TryGet(page, out ulong result))
        {
            long generation = _ring.Generation;
            IoWalk walk = IoTableWalk.Walk(new SpaceTableReader(_space), new Iota(iota), iova);
            Interlocked.Increment(ref _walks);
            if (!walk.IsValid)
            {
                return Errno.EFAULT;
            }

            result = (walk.Address & ZpciIoTable.PageFrame) | (walk.CanWrite ? 1ul : 0);
            if (keeps)
            {
                _kept.Keep(page, result, _ring, generation);
            }
        }

        if ((result & 1) == 0 && (access & DmaAccess.Write) != 0)
        {
            return Errno.EPERM;
        }

        ulong offset = iova & ~ZpciIoTable.PageFrame;
        Errno errno = _space.Find((result & ZpciIoTable.PageFrame) | offset, access, out DmaTarget found);
        if (errno == Errno.None)
        {
            target = new DmaTarget(found.Memory, found.Offset, Math.Min(found.Length, ZpciIoTable.PageSize - offset));
        }

        return errno;
    }

    protected override void Dispose(bool disposing)
    {
        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
            Volatile.Write(ref _iota, 0);
        }

        WaitForScopes();
        _kept.Dispose();
        _ring.Dispose();
        _touched.Dispose();
    }

    private sealed class Below(TranslatingDomain domain) : IGuestSpace
    {
        public Errno Find(ulong address, DmaAccess access, out DmaTarget target) => TranslateBelow(domain, address, access, out target);
    }
}
