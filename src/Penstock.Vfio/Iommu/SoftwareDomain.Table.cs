using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>How changes are made: new chunks beside the old ones, then one store.</content>
public sealed unsafe partial class SoftwareDomain
{
    private void Insert(byte* table, in TableEntry entry)
    {
        int index = TranslationTable.ChunkOf(table, entry.Start);
        byte* old = TranslationTable.Chunk(table, index);
        Span<TableEntry> entries = TranslationTable.Used(old);
        int position = 0;
        while (position < entries.Length && entries[position].Start < entry.Start)
        {
            position++;
        }

        Span<TableEntry> all = stackalloc TableEntry[TranslationTable.ChunkCapacity + 1];
        entries[..position].CopyTo(all);
        all[position] = entry;
        entries[position..].CopyTo(all[(position + 1)..]);
        all = all[..(entries.Length + 1)];
        int chunks = TranslationTable.ChunkCount(table);
        if (all.Length > TranslationTable.ChunkCapacity)
        {
            // Maps usually arrive in ascending order: then the full chunk stays as it is and the next one starts.
            bool ascending = index == chunks - 1 && position == entries.Length;
            int cut = ascending ? entries.Length : all.Length / 2;
            Publish(table, index, 1, [NewChunk(all[..cut]), NewChunk(all[cut..])]);
        }
        else if (chunks == 1)
        {
            Publish(table, 0, 1, [NewChunk(all)]);
        }
        else
        {
            TranslationTable.Replace(table, index, (byte*)NewChunk(all));
            Retire(old, TranslationTable.ChunkSize);
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

    private ulong Remove(byte* table, ulong first, ulong last, List<int> memories)
    {
        int from = TranslationTable.ChunkOf(table, first);
        int to = TranslationTable.ChunkOf(table, last);
        ulong removed = 0;
        Span<TableEntry> kept = stackalloc TableEntry[2 * TranslationTable.ChunkCapacity];
        int count = 0;
        for (int i = from; i <= to; i++)
        {
            foreach (ref TableEntry entry in TranslationTable.Used(TranslationTable.Chunk(table, i)))
            {
                if (entry.Start >= first && entry.Start <= last)
                {
                    memories.Add(entry.Memory);
                    removed += entry.Length;
                }
                else
                {
                    kept[count++] = entry;
                }
            }
        }

        if (memories.Count == 0)
        {
            return 0;
        }

        int chunks = TranslationTable.ChunkCount(table);
        kept = kept[..count];

        // A chunk's first address is what the directory says, or a later mapping below it could reach into the chunk's range unseen.
        bool sameStart = from == 0 || (count != 0 && kept[0].Start == TranslationTable.Used(TranslationTable.Chunk(table, from))[0].Start);
        if (from == to && count != 0 && chunks != 1 && sameStart)
        {
            byte* old = TranslationTable.Chunk(table, from);
            TranslationTable.Replace(table, from, (byte*)NewChunk(kept));
            Retire(old, TranslationTable.ChunkSize);
        }
        else if (count > TranslationTable.ChunkCapacity)
        {
            Publish(table, from, to - from + 1, [NewChunk(kept[..(count / 2)]), NewChunk(kept[(count / 2)..])]);
        }
        else if (count != 0 || to - from + 1 == chunks)
        {
            Publish(table, from, to - from + 1, [NewChunk(kept)]);
        }
        else
        {
            Publish(table, from, to - from + 1, []);
        }

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

    private nint NewChunk(ReadOnlySpan<TableEntry> entries)
    {
        _ledger?.Acquired(ResourceKind.NativeBlock);
        return (nint)TranslationTable.NewChunk(entries);
    }

    private byte* NewDirectory(ReadOnlySpan<nint> chunks)
    {
        _ledger?.Acquired(ResourceKind.NativeBlock);
        return TranslationTable.NewDirectory(chunks);
    }

    private void Retire(byte* block, nint bytes)
    {
        _retired.Add((nint)block);
        _retiredBytes += bytes;
    }

    private void FreeRetired()
    {
        foreach (nint block in _retired)
        {
            // SAFETY: it was unpublished before the last grace period, so no scope can still see it.
            TranslationTable.Free(block);
            _ledger?.Released(ResourceKind.NativeBlock);
        }

        _retired.Clear();
        _retiredBytes = 0;
    }
}
