using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Penstock.Vfio;

/// <summary>
/// The memory layout of a translation table, and how it is searched. A directory holds the first addresses of chunks 1, 2, ... and
/// pointers to all chunks; a chunk holds up to 64 sorted entries, and once more the first address of each eight of them. Both are written
/// once, before they are published; afterwards only chunk pointers change, each by one store, the lengths of entries, and the end of a chunk: a
/// mapping goes when its length becomes 0, and may come back; one above all others is added behind them. An empty entry is still found by
/// addresses above it, so no mapping may reach across one. Addresses are stored with the top bit inverted, so that signed vector comparison
/// orders them as unsigned; unused places hold the greatest address, and their pointers repeat the last one, as do their entries when the
/// last one holds the greatest address.
/// </summary>
internal static unsafe class TranslationTable
{
    internal const int ChunkCapacity = 64;
    private const int KeysPerStep = 8;
    private const int Steps = ChunkCapacity / KeysPerStep;
    private const int StepsAt = ChunkCapacity * sizeof(long);
    private const int EntriesAt = StepsAt + (Steps * sizeof(long));
    private const int CountAt = EntriesAt + ((ChunkCapacity + 1) * 32);
    private const int LiveAt = CountAt + sizeof(int);
    private const int ChunkBytes = CountAt + 32;
    private const int DirectoryHeader = 64;
    private const int LargestFlatSearch = 64;

    /// <summary>Finds the entry that contains an address.</summary>
    /// <param name="directory">The table.</param>
    /// <param name="iova">The address.</param>
    /// <returns>The last entry that starts at or below the address; the caller compares with its length.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static TableEntry* Find(byte* directory, ulong iova)
    {
        long key = Key(iova);
        var header = (DirectoryHeaderPart*)directory;
        int width = header->PaddedKeys;
        byte* chunk = width == 0
            ? (byte*)Volatile.Read(ref *(nint*)(directory + DirectoryHeader))
            : (byte*)Volatile.Read(ref Pointers(directory)[PositionInDirectory(directory, width, key)]);
        return Entries(chunk) + PositionIn(chunk, header->LeafKeys, key);
    }

    internal static int ChunkCount(byte* directory) => ((DirectoryHeaderPart*)directory)->Chunks;

    internal static nint DirectoryBytes(byte* directory) => DirectoryBytes(((DirectoryHeaderPart*)directory)->PaddedKeys);

    internal static nint ChunkSize => ChunkBytes;

    internal static int LeafKeys(byte* directory) => ((DirectoryHeaderPart*)directory)->LeafKeys;

    internal static byte* Chunk(byte* directory, int index) => (byte*)Pointers(directory)[index];

    /// <summary>Entries of a chunk, empty ones included.</summary>
    internal static int Count(byte* chunk) => *(int*)(chunk + CountAt);

    /// <summary>Entries that are not empty; for writers only.</summary>
    internal static ref int Live(byte* chunk) => ref *(int*)(chunk + LiveAt);

    /// <summary>The entries of a chunk, without the first, which answers for addresses below all of them.</summary>
    internal static Span<TableEntry> Used(byte* chunk) => new(Entries(chunk) + 1, Count(chunk));

    /// <summary>A block that a chunk can be made in.</summary>
    // SAFETY: room for the keys, 65 entries and the count.
    internal static byte* NewBlock() => (byte*)NativeMemory.AlignedAlloc(ChunkBytes, 64);

    internal static byte* NewChunk(byte* chunk, ReadOnlySpan<TableEntry> entries)
    {
        *(int*)(chunk + CountAt) = entries.Length;
        int live = 0;
        var keys = new Span<long>(chunk, ChunkCapacity);
        var places = new Span<TableEntry>(Entries(chunk), ChunkCapacity + 1);
        keys.Fill(long.MaxValue);
        for (int i = 0; i < entries.Length; i++)
        {
            keys[i] = Key(entries[i].Start);
            live += entries[i].Length != 0 ? 1 : 0;
        }

        Live(chunk) = live;
        for (int step = 1; step < Steps; step++)
        {
            StepKey(chunk, step) = keys[step * KeysPerStep];
        }

        places[0] = default;
        entries.CopyTo(places[1..]);
        places[(entries.Length + 1)..].Fill(!entries.IsEmpty && IsGreatest(entries[^1]) ? entries[^1] : default);
        return chunk;
    }

    /// <summary>
    /// Gives an entry, which is empty now, its contents, which do not hold the greatest address; or empties it. The address stays.
    /// </summary>
    internal static void Set(byte* chunk, int position, in TableEntry entry)
    {
        int count = Count(chunk);
        TableEntry* place = Entries(chunk) + 1 + position;
        Live(chunk) += (entry.Length != 0 ? 1 : 0) - (place->Length != 0 ? 1 : 0);
        if (entry.Length != 0)
        {
            place->Target = entry.Target;
            place->Memory = entry.Memory;
            place->Flags = entry.Flags;
        }
        else if (position == count - 1 && IsGreatest(*place))
        {
            // Behind it stand copies.
            foreach (ref TableEntry copy in new Span<TableEntry>(place + 1, ChunkCapacity - count))
            {
                Volatile.Write(ref copy.Length, 0);
            }
        }

        Volatile.Write(ref place->Length, entry.Length);
    }

    /// <summary>
    /// Adds an entry above all others to a chunk that has room. Readers find it from when its address is there. The copies behind it stay as
    /// they are, so it must not hold the greatest address.
    /// </summary>
    internal static void Append(byte* chunk, in TableEntry entry)
    {
        int count = Count(chunk);
        Entries(chunk)[count + 1] = entry;
        Volatile.Write(ref ((long*)chunk)[count], Key(entry.Start));
        if (count != 0 && count % KeysPerStep == 0)
        {
            Volatile.Write(ref StepKey(chunk, count / KeysPerStep), Key(entry.Start));
        }

        *(int*)(chunk + CountAt) = count + 1;
        Live(chunk)++;
    }

    /// <summary>How many entries of a chunk start below an address.</summary>
    internal static int Below(byte* chunk, ulong iova) =>
        iova == 0 ? 0 : (int)PositionIn(chunk, ChunkCapacity, Key(iova - 1));

    /// <summary>The address from which on the chunk after another one is searched; the greatest for the last chunk.</summary>
    internal static ulong NextFrom(byte* directory, int index) =>
        index + 1 < ChunkCount(directory) ? (ulong)((long*)(directory + DirectoryHeader))[index] ^ (1ul << 63) : ulong.MaxValue;

    /// <summary>Makes a directory of chunks, which are sorted and not empty, unless there is only one.</summary>
    internal static byte* NewDirectory(ReadOnlySpan<nint> chunks)
    {
        int padded = Pad(chunks.Length - 1);

        // SAFETY: sized for the padded keys and one pointer more.
        byte* directory = (byte*)NativeMemory.AlignedAlloc((nuint)DirectoryBytes(padded), 64);
        var header = (DirectoryHeaderPart*)directory;
        header->Chunks = chunks.Length;
        header->PaddedKeys = padded;
        header->LeafKeys = chunks.Length == 1 ? Pad(Count((byte*)chunks[0])) : ChunkCapacity;
        var keys = new Span<long>(directory + DirectoryHeader, padded);
        keys.Fill(long.MaxValue);
        for (int i = 1; i < chunks.Length; i++)
        {
            keys[i - 1] = *(long*)chunks[i];
        }

        var pointers = new Span<nint>(Pointers(directory), padded + 1);
        chunks.CopyTo(pointers);
        pointers[chunks.Length..].Fill(chunks[^1]);
        return directory;
    }

    /// <summary>Puts another chunk in a chunk's place. Readers see the one or the other.</summary>
    internal static void Replace(byte* directory, int index, byte* chunk)
    {
        var header = (DirectoryHeaderPart*)directory;
        int end = index == header->Chunks - 1 ? header->PaddedKeys : index;
        for (int i = index; i <= end; i++)
        {
            Volatile.Write(ref Pointers(directory)[i], (nint)chunk);
        }
    }

    /// <summary>Index of the chunk in whose range an address falls.</summary>
    internal static int ChunkOf(byte* directory, ulong iova) =>
        (int)UpTo((long*)(directory + DirectoryHeader), ChunkCount(directory) - 1, Key(iova));

    internal static void Free(nint block) => NativeMemory.AlignedFree((void*)block);

    /// <summary>How many of some ascending keys are at most a key. Without branches: nobody can foretell them.</summary>
    private static long UpTo(long* keys, int count, long key)
    {
        long* low = keys;
        while (count > 1)
        {
            int half = count >> 1;
            low += half & -Unsafe.BitCast<bool, byte>(low[half - 1] <= key);
            count -= half;
        }

        return low - keys + (count == 1 ? Unsafe.BitCast<bool, byte>(*low <= key) : 0);
    }

    /// <summary>How many keys of a directory are at most a key.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long PositionInDirectory(byte* directory, int width, long key)
    {
        long* keys = (long*)(directory + DirectoryHeader);
        long position = 0;
        while (width > LargestFlatSearch)
        {
            int half = (width >> 1) & -KeysPerStep;
            position += keys[position + half] <= key ? half : 0;
            width -= half;
        }

        return position + CountUpTo(keys + position, width, key);
    }

    /// <summary>How many keys of a chunk are at most a key: first which step, then where in it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long PositionIn(byte* chunk, int keys, long key)
    {
        if (keys <= KeysPerStep)
        {
            return KeysPerStep - BitOperations.PopCount(Greater((long*)chunk, key));
        }

        // The first step needs no key, so the greatest address cannot lead past the last.
        uint above = Greater((long*)(chunk + StepsAt), key) & ((1u << (Steps - 1)) - 1);
        long before = KeysPerStep * (nint)(uint)(Steps - 1 - BitOperations.PopCount(above));
        return before + KeysPerStep - BitOperations.PopCount(Greater((long*)chunk + before, key));
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long CountUpTo(long* keys, int count, long key)
    {
        long found = count;
        for (long* end = keys + count; keys < end; keys += KeysPerStep)
        {
            found -= BitOperations.PopCount(Greater(keys, key));
        }

        return found;
    }

    /// <summary>Which of eight keys are greater than a key, a bit for each.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Greater(long* keys, long key)
    {
        if (Vector512.IsHardwareAccelerated)
        {
            return (uint)Vector512.GreaterThan(Vector512.Load(keys), Vector512.Create(key)).ExtractMostSignificantBits();
        }

        Vector256<long> wanted = Vector256.Create(key);
        return Vector256.GreaterThan(Vector256.Load(keys), wanted).ExtractMostSignificantBits()
            | (Vector256.GreaterThan(Vector256.Load(keys + (KeysPerStep / 2)), wanted).ExtractMostSignificantBits() << (KeysPerStep / 2));
    }

    private static bool IsGreatest(in TableEntry entry) => entry.Length != 0 && entry.Start + (entry.Length - 1) == ulong.MaxValue;

    /// <summary>The first key of a step but the first, kept beside the keys.</summary>
    private static ref long StepKey(byte* chunk, int step) => ref ((long*)(chunk + StepsAt))[step - 1];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static long Key(ulong iova) => (long)(iova ^ (1ul << 63));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TableEntry* Entries(byte* chunk) => (TableEntry*)(chunk + EntriesAt);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static nint* Pointers(byte* directory) =>
        (nint*)(directory + DirectoryHeader + ((nint)((DirectoryHeaderPart*)directory)->PaddedKeys * sizeof(long)));

    private static int Pad(int count) => (count + KeysPerStep - 1) & -KeysPerStep;

    private static nint DirectoryBytes(int padded) => DirectoryHeader + ((nint)padded * sizeof(long)) + ((padded + 1) * sizeof(nint));

    [StructLayout(LayoutKind.Sequential)]
    private struct DirectoryHeaderPart
    {
        internal int Chunks;
        internal int PaddedKeys;
        internal int LeafKeys;
    }
}
