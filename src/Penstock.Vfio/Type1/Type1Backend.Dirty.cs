using System.Numerics;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>
/// Dirty tracking. The domains of real groups tell nothing, so everything in them is dirty unless all their devices write only what they
/// pin; besides, pages that are or were pinned and pages that drivers wrote.
/// </content>
internal sealed partial class Type1Backend
{
    private const int WordBits = 64;
    private const int WordsPerWrite = 512;

    private const string DirtyPages = "DIRTY_PAGES";

    private bool _tracking;

    private bool IsAnythingUnseen => _domains.Exists(static d => d.Groups.Exists(static g => !g.HasPinnedScope));

    public override void SetDirtyTracking(bool enable)
    {
        RequireV2(DirtyPages);
        ThrowIfInScope(DirtyPages);
        if (enable == _tracking)
        {
            return;
        }

        if (enable)
        {
            NewBitmaps();
        }
        else
        {
            DropBitmaps();
        }

        try
        {
            _emulatedDomain?.SetDirtyTracking(enable);
        }
        catch
        {
            DropBitmaps();
            throw;
        }

        _tracking = enable;
    }

    public override void GetDirtyPages(ulong iova, ulong size, in DirtyBitmap bitmap)
    {
        RequireV2(DirtyPages);
        if (size == 0)
        {
            throw new VfioException(Errno.EINVAL, DirtyPages, "the size is 0");
        }

        if (size - 1 > ulong.MaxValue - iova)
        {
            throw new VfioException(Errno.EOVERFLOW, DirtyPages, $"[0x{iova:x}, +0x{size:x}) ends past 2^64");
        }

        CheckBitmap(DirtyPages, size, bitmap);
        if (bitmap.PageSize != SmallestPage || ((iova | size) & Mask) != 0)
        {
            throw new VfioException(Errno.EINVAL, DirtyPages, $"pages, address and size must be those of 0x{SmallestPage:x} bytes, the smallest");
        }

        var range = new IovaRange(iova, iova + (size - 1));
        if (!_tracking || Cuts(range))
        {
            throw new VfioException(Errno.EINVAL, DirtyPages, _tracking ? $"{range} would cut a mapping; ask for whole mappings" : "dirty pages are not tracked; start that first");
        }

        for (Type1Mapping? mapping = _mappings.From(iova); mapping is not null && mapping.Iova <= range.Last; mapping = _mappings.After(mapping))
        {
            Errno errno = Report(mapping, iova, bitmap);
            if (errno != Errno.None)
            {
                throw new VfioException(errno, DirtyPages, $"the bitmap cannot be written for {mapping.Range}");
            }

            if (mapping.Dirty is { } bits)
            {
                Array.Clear(bits);
                MarkPinned(mapping);
            }
        }
    }

    private static void CheckBitmap(string what, ulong size, in DirtyBitmap bitmap)
    {
        ulong pages = bitmap.PageSize == 0 ? 0 : size >> BitOperations.TrailingZeroCount(bitmap.PageSize);
        if (pages == 0 || bitmap.Size == 0 || bitmap.Size > VfioIommuInfoMigration.LargestBitmap || bitmap.Size < BytesFor(pages))
        {
            throw new VfioException(Errno.EINVAL, what, $"a bitmap of 0x{bitmap.Size:x} bytes does not fit 0x{pages:x} pages, or is above the limit");
        }
    }

    private static ulong BytesFor(ulong pages) => ((pages / WordBits) + (pages % WordBits != 0 ? 1ul : 0)) * sizeof(ulong);

    private static void Mark(Type1Mapping mapping, ulong first, ulong count)
    {
        if (mapping.Dirty is not { } bits)
        {
            return;
        }

        for (ulong page = first; page < first + count;)
        {
            int bit = (int)(page % WordBits);
            int length = (int)Math.Min(first + count - page, (ulong)(WordBits - bit));
            bits[page / WordBits] |= (ulong.MaxValue >> (WordBits - length)) << bit;
            page += (ulong)length;
        }
    }

    /// <summary>
    /// Writes the bits of a mapping into a bitmap that starts at an address. Whole words are written; what the caller has in the first
    /// word below the mapping stays.
    /// </summary>
    private Errno Report(Type1Mapping mapping, ulong start, in DirtyBitmap bitmap)
    {
        ulong pages = mapping.Size >> PageShift;
        CollectEmulated(mapping);
        if (mapping.IommuMapped && IsAnythingUnseen)
        {
            Mark(mapping, 0, pages);
        }

        ulong offset = (mapping.Iova - start) >> PageShift;
        int shift = (int)(offset % WordBits);
        if (shift == 0 && mapping.Dirty is { } dirty)
        {
            return bitmap.Write(offset / WordBits, dirty);
        }

        ulong below = 0;
        Errno errno = shift == 0 ? Errno.None : bitmap.Read(offset / WordBits, out below);
        below &= (1ul << shift) - 1;
        ulong words = BytesFor(pages + (ulong)shift) / sizeof(ulong);
        Span<ulong> some = stackalloc ulong[WordsPerWrite];
        for (ulong done = 0; done < words && errno == Errno.None; done += (ulong)some.Length)
        {
            some = some[..(int)Math.Min((ulong)some.Length, words - done)];
            for (int i = 0; i < some.Length; i++)
            {
                ulong word = BitsOf(mapping, pages, done + (ulong)i);
                some[i] = (word << shift) | below;
                below = shift == 0 ? 0 : word >> (WordBits - shift);
            }

            errno = bitmap.Write((offset / WordBits) + done, some);
        }

        return errno;
    }

    private static ulong BitsOf(Type1Mapping mapping, ulong pages, ulong word)
    {
        ulong first = word * WordBits;
        return first >= pages ? 0
            : mapping.Dirty is { } bits ? bits[word]
            : pages - first >= WordBits ? ulong.MaxValue
            : (1ul << (int)(pages - first)) - 1;
    }

    /// <summary>What emulated devices wrote through their DMA ports.</summary>
    private void CollectEmulated(Type1Mapping mapping)
    {
        if (_emulatedDomain is not null)
        {
            foreach (IovaRange run in _emulatedDomain.CollectDirty(mapping.Range, keep: false))
            {
                MarkBytes(mapping, run.First, run.Last - run.First + 1);
            }
        }
    }

    private void MarkBytes(Type1Mapping mapping, ulong iova, ulong length)
    {
        ulong first = (iova - mapping.Iova) >> PageShift;
        ulong last = (iova - mapping.Iova + (length - 1)) >> PageShift;
        Mark(mapping, first, last - first + 1);
    }

    private void MarkPinned(Type1Mapping mapping) =>
        mapping.Pins?.Visit((page, count) => MarkBytes(mapping, mapping.Iova + (page * CpuPage), count * CpuPage));

    private void MarkEverything()
    {
        foreach (Type1Mapping mapping in _mappings.All)
        {
            MarkBytes(mapping, mapping.Iova, mapping.Size);
        }
    }

    private void NewBitmaps()
    {
        try
        {
            foreach (Type1Mapping mapping in _mappings.All)
            {
                NewBitmap(mapping);
            }
        }
        catch
        {
            DropBitmaps();
            throw;
        }
    }

    private void NewBitmap(Type1Mapping mapping)
    {
        ulong bytes = BytesFor(((mapping.Size - 1) >> PageShift) + 1);
        if (bytes > VfioIommuInfoMigration.LargestBitmap)
        {
            throw new VfioException(Errno.EINVAL, "tracking dirty pages", $"{mapping.Range} needs a bitmap of 0x{bytes:x} bytes; map it in parts");
        }

        mapping.Dirty = new ulong[bytes / sizeof(ulong)];
        MarkPinned(mapping);
    }

    /// <summary>A bitmap for pages of another size, if it can be had. Nothing may fail here, for a group is leaving.</summary>
    private void RenewBitmap(Type1Mapping mapping)
    {
        mapping.Dirty = null;
        try
        {
            NewBitmap(mapping);
        }
        catch (Exception e) when (e is VfioException or OutOfMemoryException)
        {
            _host.Options.Log?.Invoke($"tracking dirty pages: all of {mapping.Range} is dirty from now on: {e.Message}");
        }
    }

    private void DropBitmaps()
    {
        foreach (Type1Mapping mapping in _mappings.All)
        {
            mapping.Dirty = null;
        }
    }

    private void RequireV2(string what)
    {
        if (!_v2)
        {
            throw new VfioException(Errno.EACCES, what, "the first form of type1 does not track dirty pages; use the second");
        }
    }
}
