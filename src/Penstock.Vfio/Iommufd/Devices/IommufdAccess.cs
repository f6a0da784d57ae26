using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>
/// A driver's own way into an I/O address space, without an IOMMU: it pins pages, or copies. Dispose it to give it back. All members may
/// be called from any thread.
/// </summary>
public sealed partial class IommufdAccess : IommufdObject, IIommufdBinding, IDevicePinner, IDisposable
{
    private readonly IIommufdAccessUser? _user;
    private Ioas? _ioas;
    private Ioas? _unpinFrom;
    private bool _changing;

    internal IommufdAccess(IommufdContext context, IIommufdAccessUser? user)
        : base(context)
    {
        _user = user;
        Users = 1;
    }

    /// <summary>The address space; null when not attached.</summary>
    public Ioas? Ioas => Volatile.Read(ref _ioas);

    /// <summary>What it demands of addresses: whole pages if it pins.</summary>
    internal ulong Alignment => _user is null ? 1 : LockedMemoryAccounts.PageSize;

    internal override int DestroyOrder => 0;

    bool IIommufdBinding.IsAttached => Ioas is not null;

    /// <summary>Attaches it to an address space.</summary>
    /// <param name="ioasId">Its id.</param>
    /// <exception cref="VfioException">EINVAL: attached already; ENOENT: no such address space; EADDRINUSE: a mapping is not page aligned.</exception>
    public void Attach(uint ioasId)
    {
        string what = $"attaching an access to {ioasId}";
        Change(what, () => _ioas is null
            ? Context.Find<Ioas>(what, ioasId)
            : throw new VfioException(Errno.EINVAL, what, "it is attached already"));
    }

    /// <summary>Moves it to another address space; its user is asked to drop all pins.</summary>
    /// <param name="ioasId">The id.</param>
    /// <exception cref="VfioException">As <see cref="Attach"/>; ENOENT: not attached; EBUSY: another change is under way.</exception>
    public void Replace(uint ioasId)
    {
        string what = $"moving an access to {ioasId}";
        Change(what, () => _ioas is not null
            ? Context.Find<Ioas>(what, ioasId)
            : throw new VfioException(Errno.ENOENT, what, "it is not attached"));
    }

    /// <summary>Detaches it; its user is asked to drop all pins. Without effect when not attached.</summary>
    /// <exception cref="VfioException">EBUSY: another change is under way.</exception>
    public void Detach()
    {
        if (Ioas is not null)
        {
            Change("detaching an access", static () => null);
        }
    }

    /// <summary>
    /// Pins pages: they stay valid until they are unpinned. A page may be pinned several times; it is charged once.
    /// </summary>
    /// <param name="iova">First address; rounded down to a page.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="access">What will be done with them.</param>
    /// <param name="pages">Receives the pages, as many as the range touches.</param>
    /// <returns>
    /// None; EINVAL: length 0, this access cannot pin, too little room for the pages, or the mapping is being removed or not page aligned;
    /// EOVERFLOW: it wraps; ENOENT: not attached, or a hole; EPERM: a read-only mapping; EFAULT: the memory is not there; ENOMEM: over the
    /// limit. On an error nothing stays pinned.
    /// </returns>
    public Errno Pin(ulong iova, ulong length, DmaAccess access, Span<PinnedPage> pages)
    {
        if (_user is null || length == 0)
        {
            return Errno.EINVAL;
        }

        if (!TryWholePages(iova, length, out IovaRange range))
        {
            return Errno.EOVERFLOW;
        }

        if ((ulong)pages.Length < ((range.Last - range.First) / LockedMemoryAccounts.PageSize) + 1)
        {
            return Errno.EINVAL;
        }

        lock (Context.Gate)
        {
            if (_ioas is null)
            {
                return Errno.ENOENT;
            }

            ulong done = 0;
            int filled = 0;
            Errno errno = Errno.None;
            foreach ((IoasArea area, ulong start, ulong piece) in _ioas.Pieces(range))
            {
                errno = PinPiece(area, start - area.Iova, piece, access, pages, ref filled);
                if (errno != Errno.None)
                {
                    break;
                }

                done += piece;
            }

            if (errno == Errno.None && done != range.Last - range.First + 1)
            {
                errno = Errno.ENOENT;
            }

            if (errno != Errno.None && done != 0)
            {
                UnpinPieces(_ioas, new IovaRange(range.First, range.First + (done - 1)));
            }

            return errno;
        }
    }

    /// <summary>Drops pins, which must have been taken with the same borders.</summary>
    /// <param name="iova">First address; rounded down to a page.</param>
    /// <param name="length">Length in bytes.</param>
    /// <returns>None; EINVAL: this was not pinned, and nothing has changed.</returns>
    public Errno Unpin(ulong iova, ulong length)
    {
        if (length == 0 || !TryWholePages(iova, length, out IovaRange range))
        {
            return Errno.EINVAL;
        }

        lock (Context.Gate)
        {
            return _unpinFrom is { } ioas && UnpinPieces(ioas, range) ? Errno.None : Errno.EINVAL;
        }
    }

    /// <summary>Detaches it and gives it back.</summary>
    public void Dispose()
    {
        Detach();
        lock (Context.Gate)
        {
            if (!IsDestroyed)
            {
                Users--;
                Context.Remove(this);
                Context.Unreference();
            }
        }
    }

    uint IIommufdBinding.Attach(uint id)
    {
        Attach(id);
        return id;
    }

    uint IIommufdBinding.Replace(uint id)
    {
        Replace(id);
        return id;
    }

    Errno IDevicePinner.Pin(VfioDevice device, ulong iova, int count, DmaAccess access, Span<PinnedPage> pages) =>
        Pin(iova & ~(LockedMemoryAccounts.PageSize - 1), (ulong)count * LockedMemoryAccounts.PageSize, access, pages);

    bool IDevicePinner.Unpin(VfioDevice device, ulong iova, int count) =>
        Unpin(iova & ~(LockedMemoryAccounts.PageSize - 1), (ulong)count * LockedMemoryAccounts.PageSize) == Errno.None;

    Errno IDevicePinner.Copy(ulong iova, Span<byte> data, DmaAccess access) => Copy(iova, data, access, default, out _);

    internal void NotifyUnmap(ulong iova, ulong length) => _user?.Unmap(iova, length);

    internal override void Destroyed()
    {
        // Detached before.
    }

    private static bool TryWholePages(ulong iova, ulong length, out IovaRange range)
    {
        range = default;
        if (length - 1 > ulong.MaxValue - iova)
        {
            return false;
        }

        ulong mask = LockedMemoryAccounts.PageSize - 1;
        range = new IovaRange(iova & ~mask, (iova + (length - 1)) | mask);
        return true;
    }

    private void Change(string what, Func<Ioas?> choose)
    {
        Ioas? old;
        Ioas? next;
        lock (Context.Gate)
        {
            ThrowIfDestroyed(what);
            if (_changing)
            {
                throw new VfioException(Errno.EBUSY, what, "another change is under way");
            }

            old = _ioas;
            next = choose();
            if (next == old)
            {
                return;
            }

            if (next is not null)
            {
                next.AddAccess(what, this);
                next.Users++;
            }

            // From here on nothing new can be pinned; what is pinned can still be dropped.
            _changing = true;
            _ioas = null;
        }

        if (old is not null)
        {
            NotifyUnmap(0, IommufdLimits.Everything);
        }

        lock (Context.Gate)
        {
            if (old is not null)
            {
                old.RemoveAccess(this);
                old.Users--;
            }

            _ioas = next;
            _unpinFrom = next;
            _changing = false;
        }
    }

    private static Errno PinPiece(IoasArea area, ulong offset, ulong length, DmaAccess access, Span<PinnedPage> pages, ref int filled)
    {
        ulong page = LockedMemoryAccounts.PageSize;
        if (area.PreventAccess || area.Pages.IsDmaBuf || !area.IsAligned(page))
        {
            return Errno.EINVAL;
        }

        if ((access & DmaAccess.Write) != 0 && (area.Access & DmaAccess.Write) == 0)
        {
            return Errno.EPERM;
        }

        try
        {
            UserMemory memory = area.Pages.Resolve(area.Offset + offset, out ulong start);
            area.Pages.Pin(area.Offset + offset, length);
            memory.Hold();
            area.Pins++;
            for (ulong done = 0; done < length; done += page)
            {
                pages[filled++] = new PinnedPage(memory, start + done);
            }

            return Errno.None;
        }
        catch (VfioException e)
        {
            return e.Errno;
        }
    }

    private static bool UnpinPieces(Ioas ioas, IovaRange range)
    {
        ulong covered = 0;
        foreach ((IoasArea area, ulong start, ulong piece) in ioas.Pieces(range))
        {
            if (area.Pins == 0 || !area.Pages.HasPins(area.Offset + (start - area.Iova), piece))
            {
                return false;
            }

            covered += piece;
        }

        if (covered != range.Last - range.First + 1)
        {
            return false;
        }

        foreach ((IoasArea area, ulong start, ulong piece) in ioas.Pieces(range))
        {
            ulong offset = area.Offset + (start - area.Iova);
            area.Pages.Unpin(offset, piece);
            area.Pages.Resolve(offset, out _).Release();
            area.Pins--;
        }

        return true;
    }
}
