using System.Numerics;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// RPCIT by the VMM: walks the guest's tables, compares with what it mapped before, and maps or unmaps the difference, one page at a time
/// (zPCI architecture, RPCIT). Works everywhere, and is slow. May be called from any thread; calls wait for each other.
/// </summary>
/// <typeparam name="TWalker">What reads the guest's tables.</typeparam>
public sealed class FallbackRefresh<TWalker> : IRefreshMode
    where TWalker : IIoWalker
{
    // A guest that keeps changing its tables while they are read must not keep us here.
    private const int MostPasses = 64;

    // Nor one whose tables name a great many pages that cannot be mapped: each costs a call.
    private const int MostFailedMaps = 1 << 14;

    // An unmap of all addresses there are would have no length.
    private const ulong MostGathered = 1ul << 63;

    private readonly Lock _gate = new();
    private readonly TWalker _walker;
    private readonly IDmaNotifier _notifier;
    private readonly DmaBudget? _budget;
    private readonly FallbackOptions _options;
    private readonly RefreshCache _cache = new();
    private IoatRegistration? _registration;
    private ulong _unmapStart;
    private ulong _unmapLength;
    private int _failedMaps;
    private long _looks;
    private int _endings;

    /// <summary>Creates the mode with nothing registered.</summary>
    /// <param name="walker">What reads the guest's tables.</param>
    /// <param name="notifier">What carries out the mappings.</param>
    /// <param name="budget">How many mappings there may be; null when there is no limit.</param>
    /// <param name="options">Options; null for the defaults.</param>
    public FallbackRefresh(TWalker walker, IDmaNotifier notifier, DmaBudget? budget = null, FallbackOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(notifier);
        _walker = walker;
        _notifier = notifier;
        _budget = budget;
        _options = options ?? new FallbackOptions();
    }

    /// <inheritdoc/>
    public string Name => "fallback";

    /// <summary>How many pages are mapped.</summary>
    public int MappedPages
    {
        get
        {
            lock (_gate)
            {
                return _cache.Count;
            }
        }
    }

    /// <summary>The mapped pages by I/O address: where each leads, and whether it may be written.</summary>
    public IReadOnlyList<(ulong Iova, ulong Address, bool CanWrite)> Snapshot()
    {
        lock (_gate)
        {
            return [.. _cache.Pages.OrderBy(static p => p.Iova)];
        }
    }

    /// <inheritdoc/>
    public Errno Register(IoatRegistration registration)
    {
        lock (_gate)
        {
            if (_registration is not null)
            {
                return Errno.EBUSY;
            }

            _registration = registration;
            return Errno.None;
        }
    }

    /// <inheritdoc/>
    /// <remarks>A refresh that is under way ends early.</remarks>
    public void Deregister()
    {
        Interlocked.Increment(ref _endings);
        lock (_gate)
        {
            Interlocked.Decrement(ref _endings);
            if (_registration is not { } registration)
            {
                return;
            }

            _registration = null;
            _budget?.Return(_cache.Count);
            _cache.Clear();
            UnmapAll(registration.Aperture.Last);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Deregister();

    /// <inheritdoc/>
    public RpcitAnswer Refresh(ulong start, ulong length)
    {
        lock (_gate)
        {
            if (_registration is not { } registration || !registration.Iota.IsTranslating)
            {
                return RpcitAnswer.Failed(ZpciErrorEvent.InvalidAddressSpace, start);
            }

            ZpciErrorEvent fault = registration.Aperture.Clamp(start, length, out ulong first, out ulong pages);
            if (fault != ZpciErrorEvent.None)
            {
                return RpcitAnswer.Failed(fault, start);
            }

            (_failedMaps, _looks) = (0, 0);
            bool again;
            int passes = 0;
            long before;
            do
            {
                before = _looks;
                fault = Pass(registration.Iota, first, pages, out ulong reached, out again);
                if (fault != ZpciErrorEvent.None)
                {
                    return RpcitAnswer.Failed(fault, reached);
                }
            }
            while (again && HasBudget && !GivesUp && ++passes < MostPasses && _looks - before <= _options.MostLooks - _looks);

            return again || _failedMaps != 0 || !HasBudget ? RpcitAnswer.Insufficient : RpcitAnswer.Done;
        }
    }

    /// <summary>Unmaps everything up to an address, the last of a page.</summary>
    private void UnmapAll(ulong last)
    {
        if (last != ulong.MaxValue)
        {
            _notifier.Unmap(0, last + 1);
            return;
        }

        _notifier.Unmap(0, MostGathered);
        _notifier.Unmap(MostGathered, MostGathered);
    }

    private bool HasBudget => _budget is null || _budget.Available > 0;

    private bool GivesUp => _failedMaps >= MostFailedMaps || _looks >= _options.MostLooks || Volatile.Read(ref _endings) != 0;

    private ZpciErrorEvent Pass(Iota iota, ulong first, ulong pages, out ulong reached, out bool again)
    {
        // Behind the last address there is 0, which may be the first one as well: only the pages say what is left.
        ulong end = first + (pages * ZpciIoTable.PageSize);
        ulong left = pages;
        again = false;
        ZpciErrorEvent fault = ZpciErrorEvent.None;
        ulong at = first;
        while (left != 0 && !GivesUp)
        {
            _looks++;
            IoWalk walk = _walker.Walk(iota, at);
            fault = walk.Fault;
            if (fault != ZpciErrorEvent.None)
            {
                break;
            }

            ulong length = _options.StopsAtBoundaries ? walk.Length : 1ul << (int)walk.Level;
            ulong covered = Math.Min(length / ZpciIoTable.PageSize, left);
            ulong next = at + (covered * ZpciIoTable.PageSize);
            if (walk.IsValid)
            {
                FlushUnmaps();
                again |= !MapPages(walk, at, next);
            }
            else
            {
                Forget(walk.Level, at, next);
            }

            at = next;
            left -= covered;
        }

        if (fault == ZpciErrorEvent.None && left != 0)
        {
            // What is not looked at any more is not reached either.
            Forget(ZpciTableLevel.Page, at, end);
            again = true;
        }

        FlushUnmaps();
        reached = at;
        return fault;
    }

    /// <summary>Nothing is there any more. Unmaps are gathered: neighbours go together.</summary>
    private void Forget(ZpciTableLevel level, ulong first, ulong end)
    {
        if (level == ZpciTableLevel.Page || _options.UnmapsInvalidTables)
        {
            ulong length = end - first;
            if (_unmapLength + length < length)
            {
                FlushUnmaps();
            }

            _unmapStart = _unmapLength == 0 ? first : _unmapStart;
            _unmapLength += length;
            if (_unmapLength >= MostGathered)
            {
                FlushUnmaps();
            }
        }
        else
        {
            FlushUnmaps();
        }

        long dropped = _cache.Drop(first, end);
        if (dropped != 0)
        {
            _budget?.Return(dropped);
        }
    }

    /// <summary>Sends the gathered unmaps as the largest blocks that are powers of two and aligned to their size.</summary>
    private void FlushUnmaps()
    {
        while (_unmapLength != 0)
        {
            ulong alignment = _unmapStart & (0 - _unmapStart);
            ulong largest = 1ul << BitOperations.Log2(_unmapLength);
            ulong size = alignment != 0 && alignment < largest ? alignment : largest;
            _notifier.Unmap(_unmapStart, size);
            _unmapStart += size;
            _unmapLength -= size;
        }
    }

    /// <summary>Maps the pages of one entry; the first one that has no room ends it.</summary>
    private bool MapPages(in IoWalk walk, ulong first, ulong end)
    {
        ulong address = walk.Address;
        for (ulong iova = first; iova != end; iova += ZpciIoTable.PageSize, address += ZpciIoTable.PageSize)
        {
            _looks++;

            // QEMU looks at its count first, whatever is to be done with the page.
            if (!_options.KeepsCountExact && !HasBudget)
            {
                return false;
            }

            CachedPage there = _cache.Find(iova, address, walk.CanWrite);
            if (there == CachedPage.Same)
            {
                continue;
            }

            if (there == CachedPage.None || !_options.KeepsCountExact)
            {
                if (_budget?.TryTake() == false)
                {
                    return false;
                }
            }

            if (there == CachedPage.Other)
            {
                _notifier.Unmap(iova, ZpciIoTable.PageSize);
            }

            if (_notifier.Map(iova, address, ZpciIoTable.PageSize, walk.CanWrite) == Errno.None || !_options.AnswersFailedMaps)
            {
                _cache.Put(iova, address, walk.CanWrite);
                continue;
            }

            _failedMaps++;
            _cache.Drop(iova, iova + ZpciIoTable.PageSize);
            _budget?.Return(1);
        }

        return true;
    }
}
