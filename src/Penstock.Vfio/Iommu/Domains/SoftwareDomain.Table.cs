using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>How changes are made: new chunks beside the old ones, then one store.</content>
// SAFETY: everything here runs under the gate: the table that is given stays published, and its chunks are not freed before a grace
// period has followed their replacement.
public sealed unsafe partial class SoftwareDomain
{
    // Chunks that are free again are kept for the next change, up to this many; the ledger counts what is in use.
    private const int MostSpareChunks = 64;
    private const int SparseChunk = TranslationTable.ChunkCapacity / 2;

    private readonly Stack<nint> _spare = new();

    /// <summary>Whether something is mapped in a range.</summary>
    /// <param name="table">The table.</param>
    /// <param name="index">The chunk that the first address falls in.</param>
    /// <param name="position">How many of its entries start below that.</param>
    /// <param name="first">First address.</param>
    /// <param name="last">Last address.</param>
    private static bool Touches(byte* table, int index, int position, ulong first, ulong last)
    {
        Span<TableEntry> entries = TranslationTable.Used(TranslationTable.Chunk(table, index));
        if (Reaches(entries, position, first))
        {
            return true;
        }

        while (true)
        {
            for (; position < entries.Length && entries[position].Start <= last; position++)
            {
                if (entries[position].Length != 0)
                {
                    return true;
                }
            }

            if (position < entries.Length || last < TranslationTable.NextFrom(table, index) || ++index == TranslationTable.ChunkCount(table))
            {
                return false;
            }

            entries = TranslationTable.Used(TranslationTable.Chunk(table, index));
            position = 0;
        }
    }

    /// <summary>Whether an edge of a range cuts a mapping.</summary>
    private static bool Cuts(byte* table, int index, int position, ulong first, ulong last)
    {
        Span<TableEntry> entries = TranslationTable.Used(TranslationTable.Chunk(table, index));
        if (Reaches(entries, position, first))
        {
            return true;
        }

        if (position < entries.Length && entries[position].Start == first && entries[position].Length - 1 == last - first)
        {
            // Exactly one mapping, as most often.
            return false;
        }

        TableEntry* atEnd = TranslationTable.Find(table, last);
        ulong mapped = atEnd->Length;
        return last - atEnd->Start < mapped && last - atEnd->Start != mapped - 1;
    }

    /// <summary>Whether the entry before a position contains an address.</summary>
    private static bool Reaches(Span<TableEntry> entries, int position, ulong address) =>
        position != 0 && address - entries[position - 1].Start < entries[position - 1].Length;

    /// <summary>Puts in an entry where nothing is mapped.</summary>
    private void Insert(byte* table, int index, int position, in TableEntry entry)
    {
        ulong last = entry.Start + (entry.Length - 1);
        byte* chunk = TranslationTable.Chunk(table, index);
        Span<TableEntry> entries = TranslationTable.Used(chunk);
        int next = position < entries.Length && entries[position].Start == entry.Start ? position + 1 : position;
        bool fits = last < TranslationTable.NextFrom(table, index);
        bool inPlace = fits && last != ulong.MaxValue;
        if (inPlace && next != position && (next == entries.Length || last < entries[next].Start))
        {
            // The place of a mapping that has gone, with the same address.
            TranslationTable.Set(chunk, position, entry);
            return;
        }

        // A lone chunk is searched only as far as it was filled when it was published.
        if (inPlace && position == entries.Length && entries.Length < TranslationTable.ChunkCapacity && TranslationTable.ChunkCount(table) != 1)
        {
            TranslationTable.Append(chunk, entry);
            return;
        }

        Rewrite(table, index, fits, entry, last);
    }

    /// <summary>Puts in an entry that has no place yet: chunks are written anew, beside the old ones.</summary>
    private void Rewrite(byte* table, int index, bool fits, in TableEntry entry, ulong last)
    {
        byte* chunk = TranslationTable.Chunk(table, index);

        // It may reach to where the next chunks had mappings once: searches for that part must come here from now on.
        int to = fits ? index : TranslationTable.ChunkOf(table, last);
        Span<TableEntry> all = stackalloc TableEntry[(2 * TranslationTable.ChunkCapacity) + 1];
        int count = 0;
        int at = -1;
        for (int i = index; i <= to; i++)
        {
            foreach (ref TableEntry old in TranslationTable.Used(TranslationTable.Chunk(table, i)))
            {
                if (at < 0 && old.Start >= entry.Start)
                {
                    at = count;
                    all[count++] = entry;
                }

                if (old.Length != 0)
                {
                    all[count++] = old;
                }
            }
        }

        if (at < 0)
        {
            at = count;
            all[count++] = entry;
        }

        all = all[..count];
        if (to == index && count <= TranslationTable.ChunkCapacity && TranslationTable.ChunkCount(table) != 1)
        {
            TranslationTable.Replace(table, index, (byte*)NewChunk(all));
            Retire(chunk, TranslationTable.ChunkSize);
        }
        else
        {
            // Maps usually arrive in ascending order: then the full chunk stays as it is and the next one starts.
            bool ascending = to == TranslationTable.ChunkCount(table) - 1 && at == count - 1;
            Publish(table, index, to - index + 1, all, ascending ? TranslationTable.ChunkCapacity : count / 2);
        }
    }

    /// <summary>Publishes entries in the place of some chunks: in one chunk if they fit, or cut in two.</summary>
    private void Publish(byte* table, int index, int replaced, ReadOnlySpan<TableEntry> entries, int cut)
    {
        if (entries.Length <= TranslationTable.ChunkCapacity)
        {
            Publish(table, index, replaced, entries.IsEmpty && replaced != TranslationTable.ChunkCount(table) ? [] : [NewChunk(entries)]);
        }
        else if (entries.Length <= 2 * TranslationTable.ChunkCapacity)
        {
            Publish(table, index, replaced, [NewChunk(entries[..cut]), NewChunk(entries[cut..])]);
        }
        else
        {
            int third = entries.Length / 3;
            Publish(table, index, replaced, [NewChunk(entries[..third]), NewChunk(entries[third..(2 * third)]), NewChunk(entries[(2 * third)..])]);
        }
    }

    /// <summary>Puts an entry in the place of the one with the same address.</summary>
    private void Exchange(byte* table, in TableEntry entry)
    {
        int index = TranslationTable.ChunkOf(table, entry.Start);
        byte* old = TranslationTable.Chunk(table, index);
        TableEntry[] entries = TranslationTable.Used(old).ToArray();
        for (int i = 0; i < entries.Length; i++)
        {
            if (entries[i].Start == entry.Start)
            {
                entries[i] = entry;
            }
        }

        TranslationTable.Replace(table, index, (byte*)NewChunk(entries));
        Retire(old, TranslationTable.ChunkSize);
    }

    private ulong Remove(byte* table, int from, int position, ulong first, ulong last, List<int> memories)
    {
        ulong removed = 0;
        return last < TranslationTable.NextFrom(table, from) && TryEmpty(table, from, position, last, memories, ref removed)
            ? removed
            : RemoveMany(table, from, TranslationTable.ChunkOf(table, last), first, last, memories);
    }

    /// <summary>The usual case: entries of one chunk are emptied, and enough is left in it.</summary>
    private static bool TryEmpty(byte* table, int index, int start, ulong last, List<int> memories, ref ulong removed)
    {
        byte* chunk = TranslationTable.Chunk(table, index);
        Span<TableEntry> entries = TranslationTable.Used(chunk);
        int going = 0;
        int end = start;
        for (; end < entries.Length && entries[end].Start <= last; end++)
        {
            going += entries[end].Length != 0 ? 1 : 0;
        }

        // Chunks in which little is left would make the directory grow without bound. The neighbours are looked at only then: with many
        // mappings each look is at memory that is in no cache.
        int chunks = TranslationTable.ChunkCount(table);
        int left = TranslationTable.Live(chunk) - going;
        if (going == 0
            || (chunks != 1 && left <= SparseChunk && left + Math.Min(LiveAt(table, index - 1), LiveAt(table, index + 1)) <= SparseChunk))
        {
            return going == 0;
        }

        for (int i = start; i < end; i++)
        {
            if (entries[i].Length != 0)
            {
                memories.Add(entries[i].Memory);
                removed += entries[i].Length;
                TranslationTable.Set(chunk, i, default);
            }
        }

        return true;
    }

    private static int LiveAt(byte* table, int index) =>
        (uint)index < (uint)TranslationTable.ChunkCount(table) ? TranslationTable.Live(TranslationTable.Chunk(table, index)) : TranslationTable.ChunkCapacity;

    private ulong RemoveMany(byte* table, int from, int to, ulong first, ulong last, List<int> memories)
    {
        ulong removed = 0;
        int left = 0;
        for (int i = from; i <= to; i++)
        {
            foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
            {
                if (entry.Length != 0 && entry.Start >= first && entry.Start <= last)
                {
                    memories.Add(entry.Memory);
                    removed += entry.Length;
                }
                else
                {
                    left += entry.Length != 0 ? 1 : 0;
                }
            }
        }

        if (memories.Count == 0)
        {
            return 0;
        }

        from -= left + LiveAt(table, from - 1) <= SparseChunk ? 1 : 0;
        to += left + LiveAt(table, to + 1) <= SparseChunk ? 1 : 0;
        Span<TableEntry> kept = stackalloc TableEntry[3 * TranslationTable.ChunkCapacity];
        int count = 0;
        for (int i = from; i <= to; i++)
        {
            foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
            {
                if (entry.Length != 0 && (entry.Start < first || entry.Start > last))
                {
                    kept[count++] = entry;
                }
            }
        }

        Publish(table, from, to - from + 1, kept[..count], count / 2);
        return removed;
    }

    /// <summary>Publishes a directory in which some chunks have been replaced, and retires what it replaces.</summary>
    private void Publish(byte* table, int index, int replaced, ReadOnlySpan<nint> with)
    {
        int chunks = TranslationTable.ChunkCount(table);
        nint[] list = new nint[chunks - replaced + with.Length];
        for (int i = 0; i < index; i++)
        {
            list[i] = (nint)TranslationTable.Chunk(table, i);
        }

        with.CopyTo(list.AsSpan(index));
        for (int i = index + replaced; i < chunks; i++)
        {
            list[i - replaced + with.Length] = (nint)TranslationTable.Chunk(table, i);
        }

        for (int i = index; i < index + replaced; i++)
        {
            Retire(TranslationTable.Chunk(table, i), TranslationTable.ChunkSize);
        }

        Volatile.Write(ref _table, (nint)NewDirectory(list));
        Retire(table, TranslationTable.DirectoryBytes(table));
    }

    private nint NewChunk(ReadOnlySpan<TableEntry> entries) => (nint)TranslationTable.NewChunk(NewBlock(), entries);

    private byte* NewBlock()
    {
        _ledger?.Acquired(ResourceKind.NativeBlock);
        return _spare.TryPop(out nint block) ? (byte*)block : TranslationTable.NewBlock();
    }

    private byte* NewDirectory(ReadOnlySpan<nint> chunks)
    {
        _ledger?.Acquired(ResourceKind.NativeBlock);
        return TranslationTable.NewDirectory(chunks);
    }

    private void Retire(byte* block, nint bytes)
    {
        // The size of a chunk is a multiple of 64, that of a directory never is.
        _retired.Add(((nint)block, bytes == TranslationTable.ChunkSize));
        _retiredBytes += bytes;
    }

    private void FreeRetired()
    {
        foreach ((nint block, bool isChunk) in _retired)
        {
            // No scope can see it any more: it was unpublished before the last grace period.
            _ledger?.Released(ResourceKind.NativeBlock);
            if (isChunk && _spare.Count < MostSpareChunks)
            {
                _spare.Push(block);
            }
            else
            {
                TranslationTable.Free(block);
            }
        }

        _retired.Clear();
        _retiredBytes = 0;
    }

    private void FreeSpare()
    {
        while (_spare.TryPop(out nint block))
        {
            TranslationTable.Free(block);
        }
    }
}
