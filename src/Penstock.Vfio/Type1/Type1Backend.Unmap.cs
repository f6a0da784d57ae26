using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>UNMAP_DMA. Mappings in which something is pinned go only after every device was told.</content>
internal sealed partial class Type1Backend
{
    // How often devices are told of one mapping before those that keep their pins are given up.
    private const int MostNotices = 10;

    private readonly List<int> _noticing = [];
    private readonly List<Type1Mapping> _leaving = [];

    public override ulong Unmap(in DmaUnmapRequest request)
    {
        IovaRange range = CheckUnmap(request);
        if ((request.Flags & VfioDmaUnmapFlags.Vaddr) != 0)
        {
            CheckEdges(request, range);
            return InvalidateVaddr(request, range);
        }

        ThrowIfInScope(request);
        if (request.Flags == VfioDmaUnmapFlags.None && _mappings.At(range.First) is { PinnedPages: 0 } only && only.Range == range)
        {
            // Exactly one mapping, as most often.
            Withdraw(range);
            return Remove(only);
        }

        ulong removed = 0;
        Type1Mapping? told = null;
        int notices = 0;
        while (true)
        {
            CheckEdges(request, range);
            Type1Mapping? pinned = TakeUnpinned(request, range, ref removed);
            if (pinned is null)
            {
                return removed;
            }

            notices = pinned == told ? notices + 1 : 1;
            told = pinned;
            Tell(request, pinned, notices);
        }
    }

    private static string Unmapping(in DmaUnmapRequest request) => $"UNMAP_DMA [0x{request.Iova:x}, +0x{request.Size:x})";

    /// <summary>Removes mappings from the lowest up to the first that has pins, which is the result.</summary>
    private Type1Mapping? TakeUnpinned(in DmaUnmapRequest request, IovaRange range, ref ulong removed)
    {
        Type1Mapping? mapping = FirstOf(range);
        Errno errno = Errno.None;
        _leaving.Clear();
        while (mapping is not null && mapping.Iova <= range.Last && mapping.PinnedPages == 0)
        {
            if ((request.Flags & VfioDmaUnmapFlags.GetDirtyBitmap) != 0)
            {
                errno = Report(mapping, request.Iova, request.Bitmap);
                if (errno != Errno.None)
                {
                    break;
                }
            }

            _leaving.Add(mapping);
            mapping = mapping.Last >= range.Last ? null : _mappings.After(mapping);
        }

        removed += RemoveLeaving();
        if (errno != Errno.None)
        {
            throw Unreported(request, errno, mapping!);
        }

        return mapping is not null && mapping.Iova <= range.Last ? mapping : null;
    }

    /// <summary>The lowest mapping that an unmap takes; the first form ends silently at one that starts below.</summary>
    private Type1Mapping? FirstOf(IovaRange range) => _mappings.At(range.First) is not { } at ? _mappings.From(range.First)
        : at.Iova == range.First || _v2 ? at
        : null;

    private ulong RemoveLeaving()
    {
        if (_leaving.Count == 0)
        {
            return 0;
        }

        // One wait for accesses in progress, however many mappings go.
        Withdraw(new IovaRange(_leaving[0].Iova, _leaving[^1].Last));
        ulong removed = 0;
        foreach (Type1Mapping mapping in _leaving)
        {
            removed += Remove(mapping);
        }

        _leaving.Clear();
        return removed;
    }

    /// <summary>Takes what is in a range out of the domains.</summary>
    private void Withdraw(IovaRange range)
    {
        for (int i = 0; i < _domains.Count; i++)
        {
            _domains[i].Domain.Unmap(range);
        }

        _emulatedDomain?.Unmap(range);
    }

    /// <summary>Forgets a mapping that is in no domain any more.</summary>
    /// <returns>Its size.</returns>
    private ulong Remove(Type1Mapping mapping)
    {
        ulong size = mapping.Size;
        _mappings.Remove(mapping);
        Forget(mapping);
        if (_noticing.Count == 0)
        {
            // Somebody who is telling devices of a mapping may come back to it.
            mapping.End(_free);
            _free = mapping;
        }

        return size;
    }

    private ulong InvalidateVaddr(in DmaUnmapRequest request, IovaRange range)
    {
        ulong marked = 0;
        Type1Mapping? mapping = FirstOf(range);
        for (; mapping is not null && mapping.Iova <= range.Last && !mapping.VaddrInvalid; mapping = _mappings.After(mapping))
        {
            mapping.VaddrInvalid = true;
            _invalidVaddrs++;
            marked += mapping.Size;
        }

        if (mapping is null || mapping.Iova > range.Last)
        {
            return marked;
        }

        ulong taken = mapping.Iova;
        for (Type1Mapping? undo = FirstOf(range); undo!.Iova < taken; undo = _mappings.After(undo))
        {
            undo.VaddrInvalid = false;
            _invalidVaddrs--;
        }

        throw new VfioException(Errno.EINVAL, Unmapping(request), $"the address of {mapping.Range} is taken away already; nothing has changed");
    }

    /// <summary>Tells every open device that a mapping goes, without the container's lock.</summary>
    private void Tell(in DmaUnmapRequest request, Type1Mapping mapping, int notices)
    {
        int thread = Environment.CurrentManagedThreadId;
        if (_noticing.Contains(thread))
        {
            throw new VfioException(Errno.EDEADLK, Unmapping(request), $"something in {mapping.Range} is pinned and this is a device's answer to an unmap; unpin it first");
        }

        VfioDevice[] holders = [.. mapping.Pins!.Devices];
        if (notices > MostNotices || Array.TrueForAll(holders, static h => h.HasFailed))
        {
            foreach (VfioDevice holder in holders)
            {
                holder.Fail($"it keeps {mapping.PinnedPages} pages of {mapping.Range} pinned though it was told {MostNotices} times to drop them");
            }

            string names = string.Join(", ", holders.Select(static h => h.Name));
            throw new VfioException(Errno.EDEADLK, Unmapping(request), $"{names} did not drop the pins in {mapping.Range} and is given up; close it");
        }

        VfioDevice[] devices = [.. _devices];
        _noticing.Add(thread);
        ContainerLock?.Exit();
        try
        {
            foreach (VfioDevice device in devices)
            {
                device.NotifyDmaUnmap(mapping.Iova, mapping.Size);
            }
        }
        finally
        {
            ContainerLock?.Enter();
            _noticing.Remove(thread);
        }
    }

    // Apart from the checks, as texts that are put together would cost each unmap a frame of their parts.
    private static VfioException UnknownFlags(in DmaUnmapRequest request) =>
        new(Errno.EINVAL, Unmapping(request), $"flags {request.Flags} are unknown, or do not go together");

    private VfioException Unaligned(in DmaUnmapRequest request, string rule) => new(Errno.EINVAL, Unmapping(request), $"{rule}{SmallestPage:x}");

    private static VfioException NotTracked(in DmaUnmapRequest request) =>
        new(Errno.EINVAL, Unmapping(request), $"dirty pages are not tracked, or not in pages of 0x{request.Bitmap.PageSize:x} bytes");

    private static VfioException Unreported(in DmaUnmapRequest request, Errno errno, Type1Mapping mapping) =>
        new(errno, Unmapping(request), $"the bitmap cannot be written; what is below {mapping.Range} is gone");

    private IovaRange CheckUnmap(in DmaUnmapRequest request)
    {
        (ulong iova, ulong size) = (request.Iova, request.Size);
        VfioDmaUnmapFlags flags = request.Flags;
        bool dirty = (flags & VfioDmaUnmapFlags.GetDirtyBitmap) != 0;
        const VfioDmaUnmapFlags Known = VfioDmaUnmapFlags.GetDirtyBitmap | VfioDmaUnmapFlags.All | VfioDmaUnmapFlags.Vaddr;
        if ((flags & ~Known) != 0 || (dirty && flags != VfioDmaUnmapFlags.GetDirtyBitmap))
        {
            throw UnknownFlags(request);
        }

        if (dirty)
        {
            CheckBitmap("UNMAP_DMA", size, request.Bitmap);
        }

        if ((flags & VfioDmaUnmapFlags.Vaddr) != 0 && _emulated.Count != 0)
        {
            throw new VfioException(Errno.EBUSY, Unmapping(request), "an emulated device needs the addresses at all times; take its group out first");
        }

        if ((iova & Mask) != 0)
        {
            throw Unaligned(request, "the address must be a multiple of 0x");
        }

        if ((flags & VfioDmaUnmapFlags.All) != 0)
        {
            return iova == 0 && size == 0
                ? IovaRange.All
                : throw new VfioException(Errno.EINVAL, Unmapping(request), "with ALL, address and size must be 0");
        }

        if (size == 0 || (size & Mask) != 0)
        {
            throw Unaligned(request, "the size must not be 0, and a multiple of 0x");
        }

        ulong last = iova + (size - 1);
        if (last < iova)
        {
            throw new VfioException(Errno.EOVERFLOW, Unmapping(request), "it ends past the address space");
        }

        if (dirty && (!_tracking || request.Bitmap.PageSize != SmallestPage))
        {
            throw NotTracked(request);
        }

        return new IovaRange(iova, last);
    }

    /// <summary>The second form cuts no mapping.</summary>
    private void CheckEdges(in DmaUnmapRequest request, IovaRange range)
    {
        if (_v2 && (request.Flags & VfioDmaUnmapFlags.All) == 0 && Cuts(range))
        {
            throw new VfioException(Errno.EINVAL, Unmapping(request), "it would cut a mapping; unmap whole mappings");
        }
    }

    private bool Cuts(IovaRange range) => _mappings.At(range.First) is { } first && (first.Iova != range.First || first.Last >= range.Last)
        ? first.Range != range
        : _mappings.At(range.Last) is { } last && last.Last != range.Last;

    private void ThrowIfInScope(in DmaUnmapRequest request)
    {
        if (IsInScope)
        {
            ThrowIfInScope(Unmapping(request));
        }
    }

    private void ThrowIfInScope(string what)
    {
        if (IsInScope)
        {
            throw new VfioException(Errno.EDEADLK, what, "the calling thread is inside a scope of the address space; leave it first");
        }
    }

    private bool IsInScope
    {
        get
        {
            for (int i = 0; i < _domains.Count; i++)
            {
                if (_domains[i].Domain.IsEnteredByCaller)
                {
                    return true;
                }
            }

            return _emulatedDomain is { IsEnteredByCaller: true };
        }
    }
}
