using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>
/// A guest's I/O tables, built as Linux builds them: lower tables appear when they are first needed and stay, unmapping makes page entries
/// invalid and nothing else. Beyond that it can do what other guests may do: large frames, other lower tables in place of old ones, levels that
/// are missing. Tables that are given back are filled with entries that would be noticed.
/// </summary>
internal sealed class GuestTables
{
    /// <summary>Table memory that is not a table any more: page and segment entries that lead into nowhere, and no level's region entry.</summary>
    public const ulong Poison = 0x0bad_0bad_0bad_0000;

    private readonly Func<ulong, ulong> _read;
    private readonly Action<ulong, ulong> _write;
    private readonly ulong _end;
    private readonly Stack<ulong> _pageTables = [];
    private readonly Stack<ulong> _tables = [];
    private ulong _next;

    /// <summary>Creates tables in which nothing is mapped.</summary>
    /// <param name="read">Reads an entry at a guest address.</param>
    /// <param name="write">Writes an entry at a guest address.</param>
    /// <param name="first">First address for tables, a multiple of 16 KiB.</param>
    /// <param name="length">How many bytes there are for tables.</param>
    /// <param name="type">Kind of the first table.</param>
    public GuestTables(
        Func<ulong, ulong> read, Action<ulong, ulong> write, ulong first, ulong length, ZpciDesignationType type = ZpciDesignationType.RegionThird)
    {
        _read = read;
        _write = write;
        _next = first;
        _end = first + length;
        Iota = Iota.Of(NewTable(ZpciIoTable.TableInvalid), type);
    }

    /// <summary>The anchor to register.</summary>
    public Iota Iota { get; }

    /// <summary>Maps pages to neighbouring addresses.</summary>
    public void Map(ulong iova, ulong address, int pages, bool writable = true)
    {
        for (int i = 0; i < pages; i++)
        {
            ulong offset = (ulong)i * ZpciIoTable.PageSize;
            ulong entry = (address + offset) | (writable ? 0 : ZpciIoTable.Protected);
            _write(EntryAddress(iova + offset, ZpciTableLevel.Page), entry);
        }
    }

    /// <summary>Unmaps pages, mapped or not; lower tables stay.</summary>
    public void Unmap(ulong iova, int pages)
    {
        for (int i = 0; i < pages; i++)
        {
            _write(EntryAddress(iova + ((ulong)i * ZpciIoTable.PageSize), ZpciTableLevel.Page), ZpciIoTable.PageInvalid);
        }
    }

    /// <summary>Maps a frame of 1 MiB; the page table that was there goes.</summary>
    public void MapFrame(ulong iova, ulong address, bool writable = true)
    {
        DropPageTable(iova);
        Set(iova, ZpciTableLevel.Segment, address | ZpciIoTable.LargeFrame | (writable ? 0 : ZpciIoTable.Protected));
    }

    /// <summary>Makes the segment's entry invalid; its page table goes.</summary>
    public void InvalidateSegment(ulong iova)
    {
        DropPageTable(iova);
        Set(iova, ZpciTableLevel.Segment, ZpciIoTable.TableInvalid);
    }

    /// <summary>Makes the region third entry invalid; all tables below it go.</summary>
    public void InvalidateRegion(ulong iova)
    {
        ulong entry = Get(iova, ZpciTableLevel.RegionThird);
        if ((entry & ZpciIoTable.TableInvalid) == 0)
        {
            ulong first = iova & ~((1ul << (int)ZpciTableLevel.RegionThird) - 1);
            for (ulong i = 0; i < ZpciIoTable.TableEntries; i++)
            {
                DropPageTable(first + (i * ZpciIoTable.SegmentSize));
            }

            GiveBack(entry & ZpciIoTable.RegionOrigin, ZpciIoTable.TableEntries, _tables);
        }

        Set(iova, ZpciTableLevel.RegionThird, ZpciIoTable.TableInvalid);
    }

    /// <summary>Puts an equal page table in place of the segment's: nothing changes for the device, and the old table is somebody else's.</summary>
    /// <returns>Whether the segment has a page table.</returns>
    public bool Repoint(ulong iova)
    {
        ulong entry = Get(iova, ZpciTableLevel.Segment);
        if ((entry & (ZpciIoTable.TableInvalid | ZpciIoTable.LargeFrame)) != 0)
        {
            return false;
        }

        ulong old = entry & ZpciIoTable.SegmentOrigin;
        ulong copy = Take(_pageTables, ZpciIoTable.PageTableSize);
        for (ulong i = 0; i < ZpciIoTable.PageTableSize; i += ZpciIoTable.EntrySize)
        {
            _write(copy + i, _read(old + i));
        }

        Set(iova, ZpciTableLevel.Segment, copy | (entry & ~ZpciIoTable.SegmentOrigin));
        GiveBack(old, ZpciIoTable.PageEntries, _pageTables);
        return true;
    }

    /// <summary>Makes everything below an entry read only, or no longer so.</summary>
    public void Protect(ulong iova, ZpciTableLevel level, bool isProtected)
    {
        ulong entry = Get(iova, level);
        Set(iova, level, isProtected ? entry | ZpciIoTable.Protected : entry & ~ZpciIoTable.Protected);
    }

    /// <summary>Writes any entry; levels above that are missing are made.</summary>
    public void Set(ulong iova, ZpciTableLevel level, ulong entry) => _write(EntryAddress(iova, level), entry);

    /// <summary>Reads an entry; levels above that are missing are made.</summary>
    public ulong Get(ulong iova, ZpciTableLevel level) => _read(EntryAddress(iova, level));

    /// <summary>The pages that are mapped in a range, by a walk that shares nothing with the one under test.</summary>
    public List<(ulong Iova, ulong Address, bool CanWrite)> Live(ulong first, ulong last)
    {
        var live = new List<(ulong, ulong, bool)>();
        for (ulong iova = first; ; iova += ZpciIoTable.PageSize)
        {
            if (Lookup(iova) is { } page)
            {
                live.Add((iova, page.Address, page.CanWrite));
            }
            else if ((iova & (ZpciIoTable.SegmentSize - 1)) == 0 && IsSegmentMissing(iova))
            {
                iova += ZpciIoTable.SegmentSize - ZpciIoTable.PageSize;
            }

            if (iova >= last || last - iova < ZpciIoTable.PageSize)
            {
                return live;
            }
        }
    }

    /// <summary>Where an address leads; null for nowhere. Knows only tables without errors in them.</summary>
    public (ulong Address, bool CanWrite)? Lookup(ulong iova)
    {
        ulong table = Iota.Origin;
        bool canWrite = !Iota.IsProtected;
        for (int shift = (int)Iota.Level; ; shift -= ZpciIoTable.LevelBits)
        {
            bool isPage = shift < (int)ZpciTableLevel.Segment;
            ulong index = isPage ? (iova >> 12) & 0xff : (iova >> shift) & 0x7ff;
            ulong entry = _read(table + (index * ZpciIoTable.EntrySize));
            canWrite &= (entry & 0x200) == 0;
            if (isPage)
            {
                return (entry & 0x400) != 0 ? null : (entry & ~0xffful, canWrite);
            }

            if ((entry & 0x20) != 0)
            {
                return null;
            }

            if (shift == 20 && (entry & 0x400) != 0)
            {
                return ((entry & ~0xf_fffful) | (iova & 0xff000), canWrite);
            }

            table = shift == 20 ? entry & ~0x7fful : entry & ~0x3ffful;
        }
    }

    private bool IsSegmentMissing(ulong iova)
    {
        ulong table = Iota.Origin;
        for (int shift = (int)Iota.Level; shift >= (int)ZpciTableLevel.Segment; shift -= ZpciIoTable.LevelBits)
        {
            ulong entry = _read(table + (((iova >> shift) & 0x7ff) * ZpciIoTable.EntrySize));
            if ((entry & ZpciIoTable.TableInvalid) != 0)
            {
                return true;
            }

            table = entry & ZpciIoTable.RegionOrigin;
        }

        return false;
    }

    /// <summary>Address of an entry; tables on the way are made, as Linux does when it maps and when it unmaps.</summary>
    private ulong EntryAddress(ulong iova, ZpciTableLevel level)
    {
        ulong table = Iota.Origin;
        int shift = (int)Iota.Level;
        while (true)
        {
            bool isPage = shift < (int)ZpciTableLevel.Segment;
            ulong index = isPage
                ? (iova >> (int)ZpciTableLevel.Page) & (ZpciIoTable.PageEntries - 1)
                : (iova >> shift) & (ZpciIoTable.TableEntries - 1);
            ulong address = table + (index * ZpciIoTable.EntrySize);
            if (isPage || shift == (int)level)
            {
                return address;
            }

            bool isSegment = shift == (int)ZpciTableLevel.Segment;
            ulong entry = _read(address);
            if ((entry & ZpciIoTable.TableInvalid) != 0 || (isSegment && (entry & ZpciIoTable.LargeFrame) != 0))
            {
                ulong type = (ulong)((shift - (int)ZpciTableLevel.Segment) / ZpciIoTable.LevelBits) * ZpciIoTable.TypeStep;
                entry = isSegment ? NewPageTable() : NewTable(ZpciIoTable.TableInvalid | (type - ZpciIoTable.TypeStep)) | type | ZpciIoTable.LengthMask;
                _write(address, entry);
            }

            table = entry & (isSegment ? ZpciIoTable.SegmentOrigin : ZpciIoTable.RegionOrigin);
            shift -= ZpciIoTable.LevelBits;
        }
    }

    private ulong NewTable(ulong entry) => Filled(Take(_tables, ZpciIoTable.TableSize), ZpciIoTable.TableEntries, entry);

    private ulong NewPageTable() => Filled(Take(_pageTables, ZpciIoTable.PageTableSize), ZpciIoTable.PageEntries, ZpciIoTable.PageInvalid);

    private void DropPageTable(ulong iova)
    {
        ulong entry = Get(iova, ZpciTableLevel.Segment);
        if ((entry & (ZpciIoTable.TableInvalid | ZpciIoTable.LargeFrame)) == 0)
        {
            GiveBack(entry & ZpciIoTable.SegmentOrigin, ZpciIoTable.PageEntries, _pageTables);
        }
    }

    private void GiveBack(ulong table, int entries, Stack<ulong> free) => free.Push(Filled(table, entries, Poison));

    private ulong Filled(ulong table, int entries, ulong entry)
    {
        for (int i = 0; i < entries; i++)
        {
            _write(table + (ulong)(i * ZpciIoTable.EntrySize), entry);
        }

        return table;
    }

    private ulong Take(Stack<ulong> free, int size)
    {
        if (free.TryPop(out ulong table))
        {
            return table;
        }

        ulong aligned = (_next + (ulong)size - 1) & ~((ulong)size - 1);
        Assert.True(aligned + (ulong)size <= _end, "the guest has no more memory for tables");
        _next = aligned + (ulong)size;
        return aligned;
    }
}
