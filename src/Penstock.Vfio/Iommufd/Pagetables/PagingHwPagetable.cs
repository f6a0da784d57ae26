using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>A hardware page table that holds what an I/O address space maps. All members may be called from any thread.</summary>
public sealed class PagingHwPagetable : HwPagetable
{
    private readonly TranslatingDomain _domain;
    private readonly IommuHwptAllocFlags _flags;

    internal PagingHwPagetable(Ioas ioas, IommuUnit unit, IommuHwptAllocFlags flags, bool automatic)
        : base(ioas.Context, unit)
    {
        Ioas = ioas;
        IsAutomatic = automatic;
        _flags = flags;
        Context.Host.Allocations.Ask("making a page table");
        _domain = unit.CreateDomain();
    }

    /// <summary>The address space.</summary>
    public Ioas Ioas { get; }

    /// <summary>Whether attaching to the address space made it; it goes with the last device.</summary>
    public bool IsAutomatic { get; }

    /// <summary>Whether nested tables can be put on top.</summary>
    public bool IsNestParent => (_flags & IommuHwptAllocFlags.NestParent) != 0;

    /// <summary>Whether device writes can be tracked.</summary>
    public bool CanTrackDirty => (_flags & IommuHwptAllocFlags.DirtyTracking) != 0;

    /// <inheritdoc/>
    public override IommuDomain Domain => _domain;

    internal override PagingHwPagetable Paging => this;

    internal override int DestroyOrder => 3;

    /// <summary>Starts or stops tracking device writes (HWPT_SET_DIRTY_TRACKING). Starting forgets what was seen before.</summary>
    /// <param name="enable">Whether to track.</param>
    /// <exception cref="VfioException">
    /// EOPNOTSUPP: the table was not made for it; ENOENT: destroyed; ENOMEM: a mapping is too large;
    /// EDEADLK: the calling thread is inside a scope of the table.
    /// </exception>
    public void SetDirtyTracking(bool enable)
    {
        const string What = "HWPT_SET_DIRTY_TRACKING";
        lock (Context.Gate)
        {
            ThrowIfDestroyed(What);
            ThrowIfUntrackable(What);
            _domain.SetDirtyTracking(enable);
        }
    }

    /// <summary>Reads which pages devices have written (HWPT_GET_DIRTY_BITMAP).</summary>
    /// <param name="iova">First address, a multiple of the page size and of the address space's alignment.</param>
    /// <param name="length">Length in bytes, the same.</param>
    /// <param name="pageSize">Bytes for each bit, not 0.</param>
    /// <param name="keep">Whether the bits stay set.</param>
    /// <param name="bitmap">Bits are set here, never cleared; bit 0 is the page at <paramref name="iova"/>.</param>
    /// <exception cref="VfioException">
    /// EINVAL: length or page size 0, alignment, or not tracking; EOVERFLOW: it wraps; EOPNOTSUPP: the table was not made for it; EFAULT:
    /// the bitmap is too short; ENOENT: destroyed.
    /// </exception>
    public void GetDirtyBitmap(ulong iova, ulong length, ulong pageSize, bool keep, Span<byte> bitmap)
    {
        ulong pages = CheckDirtyRange(iova, length, pageSize);
        if ((ulong)bitmap.Length < (pages + 7) / 8)
        {
            throw new VfioException(Errno.EFAULT, "HWPT_GET_DIRTY_BITMAP", $"the bitmap has {bitmap.Length} bytes, too few for {pages} pages");
        }

        foreach ((ulong first, ulong last) in CollectDirty(iova, length, keep))
        {
            for (ulong page = (first - iova) / pageSize; page <= (last - iova) / pageSize; page++)
            {
                bitmap[(int)(page / 8)] |= (byte)(1 << (int)(page % 8));
            }
        }
    }

    /// <summary>The checks of the call, in order.</summary>
    /// <returns>The number of pages.</returns>
    internal ulong CheckDirtyRange(ulong iova, ulong length, ulong pageSize)
    {
        RangeCall what = new("HWPT_GET_DIRTY_BITMAP", iova, length);
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            if (length == 0)
            {
                throw new VfioException(Errno.EINVAL, what, "the length is 0");
            }

            if (length - 1 > ulong.MaxValue - iova)
            {
                throw new VfioException(Errno.EOVERFLOW, what, "it ends past 2^64");
            }

            ulong mask = Ioas.Alignment - 1;
            ulong end = iova + length;
            if (((iova | end) & mask) != 0 || pageSize == 0 || ((iova | end) & (pageSize - 1)) != 0)
            {
                throw new VfioException(Errno.EINVAL, what, $"address and end must be multiples of 0x{mask + 1:x} and of the page size 0x{pageSize:x}");
            }

            ThrowIfUntrackable(what);
            return ((length - 1) / pageSize) + 1;
        }
    }

    /// <summary>Runs of written bytes in a checked range, ascending; forgets them unless they are kept.</summary>
    internal List<IovaRange> CollectDirty(ulong iova, ulong length, bool keep)
    {
        lock (Context.Gate)
        {
            return _domain.CollectDirty(new IovaRange(iova, iova + (length - 1)), keep);
        }
    }

    internal override void Destroyed()
    {
        base.Destroyed();
        Ioas.RemoveTable(this);
        Ioas.Users--;
        Domain.Dispose();
    }

    private void ThrowIfUntrackable(RangeCall what)
    {
        if (!CanTrackDirty)
        {
            throw new VfioException(Errno.EOPNOTSUPP, what, $"{this} was made without DIRTY_TRACKING");
        }
    }
}
