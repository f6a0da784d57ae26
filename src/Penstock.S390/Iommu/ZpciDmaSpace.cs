using System.Numerics;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// An address space of a driver in this process, which gets I/O addresses instead of choosing them: what the host's own DMA API is to its drivers.
/// <para>
/// Strict: when <see cref="Unmap"/> returns, the function uses the memory no more. Lazy: its entries are invalid when it returns, but the function is
/// told, accesses are waited for, and memory and address given back only when the queue is full or its time is over, once for all of it
/// (<see cref="Flush"/> does it now). Users of VFIO have strict domains always.
/// </para>
/// All members may be called from any thread.
/// </summary>
public sealed class ZpciDmaSpace : IDisposable
{
    private readonly Lock _gate = new();

    // Taken before the other one, and held while waiting: callers are in no scope.
    private readonly Lock _flushing = new();
    private readonly IommuGroup _group;
    private readonly IovaAllocator _addresses;
    private readonly ZpciDmaOptions _options;
    private readonly ITimer? _timer;
    private List<RealBank> _waiting = [];
    private long _flushes;
    private int _disposed;

    internal ZpciDmaSpace(ZpciIommu iommu, IommuGroup group, IZpciHostFunction function, ZpciDmaOptions options, TimeProvider time)
    {
        if (options.QueueSize < 1 || !BitOperations.IsPow2(options.QueueSize))
        {
            throw new VfioException(Errno.EINVAL, $"DMA of {group}", $"a queue of {options.QueueSize} unmaps is not a power of two");
        }

        _group = group;
        _options = options;
        _addresses = new IovaAllocator(function.DmaWindow with { First = ZpciAperture.FirstPage(function.DmaWindow) });
        IsLazy = options.Lazy && !function.IsInternalSharedMemory;
        group.BindForeignDriver();
        ZpciDomain? domain = null;
        try
        {
            domain = iommu.CreateDomain();
            group.Attach(domain);
        }
        catch
        {
            domain?.Dispose();
            group.UnbindForeignDriver();
            throw;
        }

        Domain = domain;
        _timer = IsLazy ? time.CreateTimer(_ => Flush(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan) : null;
    }

    /// <summary>The translation, for the function's DMA and for who looks at counters. Map and unmap through this object only.</summary>
    public ZpciDomain Domain { get; }

    /// <summary>Whether unmaps are put off.</summary>
    public bool IsLazy { get; }

    /// <summary>How many unmaps are put off now.</summary>
    public int Waiting
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>How often unmaps that were put off have been done.</summary>
    public long Flushes => Interlocked.Read(ref _flushes);

    /// <summary>Maps memory at an address of the space's choice.</summary>
    /// <param name="memory">The memory; a reference is held until the mapping is given back.</param>
    /// <param name="memoryOffset">Offset of the first byte, in whole pages.</param>
    /// <param name="size">Length in bytes, in whole pages.</param>
    /// <param name="access">What the function may do.</param>
    /// <returns>First I/O address.</returns>
    /// <exception cref="VfioException">ENOSPC: no address is left; as <see cref="ZpciDomain.Map"/>.</exception>
    public ulong Map(UserMemory memory, ulong memoryOffset, ulong size, DmaAccess access)
    {
        ThrowIfEntered("mapping memory");
        if (!TryTake(size, out ulong iova))
        {
            // Addresses that wait for a flush are addresses, too.
            Flush();
            if (!TryTake(size, out iova))
            {
                throw new VfioException(Errno.ENOSPC, $"mapping 0x{size:x} bytes", "no I/O addresses are left; unmap something");
            }
        }

        try
        {
            Domain.Map(iova, size, access, memory, memoryOffset);
            return iova;
        }
        catch
        {
            lock (_gate)
            {
                _addresses.Give(iova, size);
            }

            throw;
        }
    }

    /// <summary>Unmaps what <see cref="Map"/> has mapped.</summary>
    /// <param name="iova">First I/O address.</param>
    /// <param name="size">Length in bytes.</param>
    /// <exception cref="VfioException">EINVAL: it is not exactly one mapping; EDEADLK: the calling thread is inside a scope of the domain.</exception>
    public void Unmap(ulong iova, ulong size)
    {
        if (!IsLazy)
        {
            Domain.UnmapOne(iova, size);
            lock (_gate)
            {
                _addresses.Give(iova, size);
            }

            return;
        }

        RealBank bank = Domain.TakeOut(iova, size);
        bool full;
        lock (_gate)
        {
            _waiting.Add(bank);
            full = _waiting.Count >= _options.QueueSize;
            if (_waiting.Count == 1 && !full)
            {
                _timer!.Change(_options.Timeout, Timeout.InfiniteTimeSpan);
            }
        }

        if (full)
        {
            Flush();
        }
    }

    /// <summary>Does what was put off: one refresh of everything, one wait.</summary>
    /// <exception cref="VfioException">EDEADLK: the calling thread is inside a scope of the domain.</exception>
    public void Flush()
    {
        ThrowIfEntered("flushing");
        lock (_flushing)
        {
            FlushAlone();
        }
    }

    /// <summary>Flushes, detaches the function and gives everything back, also what is mapped still.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
        {
            return;
        }

        _timer?.Dispose();
        _group.Detach();
        Flush();
        Domain.Dispose();
        _group.UnbindForeignDriver();
    }

    private void FlushAlone()
    {
        List<RealBank> waiting;
        lock (_gate)
        {
            if (_waiting.Count == 0)
            {
                return;
            }

            waiting = _waiting;
            _waiting = new List<RealBank>(waiting.Count);
        }

        Domain.RefreshAll();
        Domain.WaitForAccesses();
        Interlocked.Increment(ref _flushes);
        foreach (RealBank bank in waiting)
        {
            Domain.Release(bank);
        }

        lock (_gate)
        {
            foreach (RealBank bank in waiting)
            {
                _addresses.Give(bank.Range.First, bank.Range.Last - bank.Range.First + 1);
            }
        }
    }

    private bool TryTake(ulong size, out ulong iova)
    {
        iova = 0;
        if (size > RealAddresses.BankSize)
        {
            return false;
        }

        lock (_gate)
        {
            return _addresses.TryTake(size, out iova);
        }
    }

    private void ThrowIfEntered(string what)
    {
        if (Domain.IsEnteredByCaller)
        {
            throw new VfioException(Errno.EDEADLK, what, "the calling thread is inside a scope of the same address space; leave it first");
        }
    }
}
