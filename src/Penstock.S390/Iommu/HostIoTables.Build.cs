using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <content>Runs of pages, and how tables come into being.</content>
// SAFETY: as in Find: tables stay until the end, entries lead to tables of the next level only, indices are masked or bounded by the table's size.
internal sealed unsafe partial class HostIoTables
{
    /// <summary>Receives entries as they are made invalid.</summary>
    internal interface ICleared
    {
        void Cleared(ulong iova, ulong entry);
    }

    /// <summary>Maps pages that follow each other, where nothing is mapped.</summary>
    /// <param name="iova">First address.</param>
    /// <param name="pages">How many.</param>
    /// <param name="entry">The first entry; the address in it grows.</param>
    /// <param name="done">How many were mapped before the error.</param>
    /// <returns>None; EEXIST: something is mapped; ENOMEM: no memory for a table.</returns>
    internal Errno Map(ulong iova, ulong pages, ulong entry, out ulong done)
    {
        ulong invalid = ToTable(ZpciIoTable.PageInvalid);
        done = 0;
        while (done < pages)
        {
            ulong* table = PageTable(iova + (done * ZpciIoTable.PageSize));
            if (table == null)
            {
                return Errno.ENOMEM;
            }

            ulong index = PageIndex(iova + (done * ZpciIoTable.PageSize));
            for (; index < ZpciIoTable.PageEntries && done < pages; index++, done++)
            {
                if (Interlocked.CompareExchange(ref table[index], ToTable(entry), invalid) != invalid)
                {
                    return Errno.EEXIST;
                }

                entry += ZpciIoTable.PageSize;
            }
        }

        return Errno.None;
    }

    /// <summary>Undoes <see cref="Map"/>, but for pages that somebody else has unmapped meanwhile.</summary>
    /// <returns>How many were undone.</returns>
    internal ulong Undo(ulong iova, ulong pages, ulong entry)
    {
        ulong undone = 0;
        for (ulong i = 0; i < pages; i++)
        {
            ulong at = i * ZpciIoTable.PageSize;
            undone += TryChange(iova + at, entry + at, ZpciIoTable.PageInvalid) ? 1ul : 0;
        }

        return undone;
    }

    /// <summary>Lets pages lead somewhere else, but for those that somebody has unmapped meanwhile.</summary>
    /// <returns>How many were moved.</returns>
    internal ulong Move(ulong iova, ulong pages, ulong from, ulong to)
    {
        ulong moved = 0;
        for (ulong i = 0; i < pages; i++)
        {
            ulong at = i * ZpciIoTable.PageSize;
            moved += TryChange(iova + at, from + at, to + at) ? 1ul : 0;
        }

        return moved;
    }

    /// <summary>Makes all entries of a range invalid. Needs no memory: what has no table is not mapped.</summary>
    internal void Clear<T>(IovaRange range, ref T cleared)
        where T : struct, ICleared
    {
        ulong* table = (ulong*)Volatile.Read(ref _root);
        if (table != null && range.First <= Aperture.Last)
        {
            Clear(table, _topShift, range.First, Math.Min(range.Last, Aperture.Last), ref cleared);
        }
    }

    private static void Clear<T>(ulong* table, int shift, ulong first, ulong last, ref T cleared)
        where T : struct, ICleared
    {
        ulong below = (1ul << shift) - 1;
        for (ulong at = first; ; at = (at | below) + 1)
        {
            ulong end = Math.Min(last, at | below);
            if (shift == PageShift)
            {
                ref ulong entry = ref table[PageIndex(at)];
                ulong old = FromTable(Volatile.Read(ref entry));
                if ((old & ZpciIoTable.PageInvalid) == 0)
                {
                    old = FromTable(Interlocked.Exchange(ref entry, ToTable(ZpciIoTable.PageInvalid)));
                    if ((old & ZpciIoTable.PageInvalid) == 0)
                    {
                        cleared.Cleared(at & ~below, old);
                    }
                }
            }
            else if (FromTable(Volatile.Read(ref table[(at >> shift) & IndexMask])) is var next && (next & ZpciIoTable.TableInvalid) == 0)
            {
                Clear((ulong*)(next & NextTable), Below(shift), at, end, ref cleared);
            }

            if (end == last)
            {
                return;
            }
        }
    }

    private bool TryChange(ulong iova, ulong from, ulong to)
    {
        ulong* entry = Find(iova);
        return entry != null && Interlocked.CompareExchange(ref *entry, ToTable(to), ToTable(from)) == ToTable(from);
    }

    private static int Below(int shift) => shift == SegmentShift ? PageShift : shift - ZpciIoTable.LevelBits;

    private static VfioException NoMemory(string what) => new(Errno.ENOMEM, what, "there is no memory for a table; allow more, or map less");

    /// <summary>The page table of an address, made when it is not there; null: no memory.</summary>
    private ulong* PageTable(ulong iova)
    {
        ulong* table = (ulong*)Volatile.Read(ref _root);
        for (int shift = _topShift; table != null && shift >= SegmentShift; shift -= ZpciIoTable.LevelBits)
        {
            ref ulong entry = ref table[(iova >> shift) & IndexMask];
            ulong next = FromTable(Volatile.Read(ref entry));
            table = (next & ZpciIoTable.TableInvalid) == 0 ? (ulong*)(next & NextTable) : Install(ref entry, shift);
        }

        return table;
    }

    private ulong* Install(ref ulong entry, int shift)
    {
        bool pages = shift == SegmentShift;
        int entries = pages ? ZpciIoTable.PageEntries : ZpciIoTable.TableEntries;
        ulong* table = NewTable(entries, pages ? ZpciIoTable.PageInvalid : ZpciIoTable.TableInvalid);
        if (table == null)
        {
            return null;
        }

        ulong flags = shift switch
        {
            SegmentShift => 0,
            (int)ZpciTableLevel.RegionThird => ZpciIoTable.TypeRegionThird | ZpciIoTable.LengthMask,
            (int)ZpciTableLevel.RegionSecond => ZpciIoTable.TypeRegionSecond | ZpciIoTable.LengthMask,
            _ => ZpciIoTable.TypeRegionFirst | ZpciIoTable.LengthMask,
        };
        ulong invalid = ToTable(ZpciIoTable.TableInvalid);
        ulong seen = Interlocked.CompareExchange(ref entry, ToTable((ulong)table | flags), invalid);
        if (seen == invalid)
        {
            return table;
        }

        FreeTable(table, entries);
        return (ulong*)(FromTable(seen) & NextTable);
    }

    private ulong* NewTable(int entries, ulong invalid)
    {
        ulong bytes = (ulong)entries * sizeof(ulong);
        if (Interlocked.Add(ref _bytes, bytes) > _limit)
        {
            Interlocked.Add(ref _bytes, 0 - bytes);
            return null;
        }

        void* table;
        try
        {
            table = NativeMemory.AlignedAlloc((nuint)bytes, (nuint)bytes);
        }
        catch (OutOfMemoryException)
        {
            Interlocked.Add(ref _bytes, 0 - bytes);
            return null;
        }

        _ledger?.Acquired(ResourceKind.NativeBlock);
        new Span<ulong>(table, entries).Fill(ToTable(invalid));
        return (ulong*)table;
    }

    private void FreeTable(ulong* table, int entries)
    {
        NativeMemory.AlignedFree(table);
        Interlocked.Add(ref _bytes, 0 - ((ulong)entries * sizeof(ulong)));
        _ledger?.Released(ResourceKind.NativeBlock);
    }

    private void Free(ulong* table, int shift)
    {
        if (shift == PageShift)
        {
            FreeTable(table, ZpciIoTable.PageEntries);
            return;
        }

        for (int i = 0; i < ZpciIoTable.TableEntries; i++)
        {
            ulong next = FromTable(table[i]);
            if ((next & ZpciIoTable.TableInvalid) == 0)
            {
                Free((ulong*)(next & NextTable), Below(shift));
            }
        }

        FreeTable(table, ZpciIoTable.TableEntries);
    }
}
