namespace Penstock.Vfio;

/// <summary>
/// The mappings of a type1 container in order of their addresses; they never overlap. A list of short sorted lists: finding one is two
/// binary searches, changing one moves a few neighbours.
/// </summary>
internal sealed class Type1Mappings
{
    private const int Capacity = 64;
    private const int Sparse = Capacity / 2;

    private ulong[] _firsts = new ulong[4];
    private Chunk[] _chunks = new Chunk[4];
    private int _chunkCount;

    internal int Count { get; private set; }

    /// <summary>All of them, ascending; they must not change meanwhile.</summary>
    internal IEnumerable<Type1Mapping> All
    {
        get
        {
            for (int c = 0; c < _chunkCount; c++)
            {
                for (int i = 0; i < _chunks[c].Count; i++)
                {
                    yield return _chunks[c].Items[i];
                }
            }
        }
    }

    internal void Add(Type1Mapping mapping)
    {
        Count++;
        if (_chunkCount == 0)
        {
            InsertChunk(0, new Chunk());
        }

        int at = ChunkOf(mapping.Iova);
        Chunk chunk = _chunks[at];
        int place = chunk.UpTo(mapping.Iova);
        if (chunk.Count == Capacity)
        {
            // Maps usually arrive in ascending order: then full lists stay full.
            bool ascending = at == _chunkCount - 1 && place == Capacity;
            InsertChunk(at + 1, chunk.Split(ascending ? Capacity : Sparse));
            if (place > Sparse)
            {
                place -= chunk.Count;
                chunk = _chunks[++at];
            }
        }

        chunk.Insert(place, mapping);
        _firsts[at] = chunk.Starts[0];
    }

    internal void Remove(Type1Mapping mapping)
    {
        Count--;
        int at = ChunkOf(mapping.Iova);
        Chunk chunk = _chunks[at];
        chunk.RemoveAt(chunk.UpTo(mapping.Iova) - 1);
        if (chunk.Count == 0)
        {
            RemoveChunk(at);
            return;
        }

        _firsts[at] = chunk.Starts[0];
        if (at + 1 < _chunkCount && chunk.Count + _chunks[at + 1].Count <= Sparse)
        {
            chunk.Append(_chunks[at + 1]);
            RemoveChunk(at + 1);
        }
    }

    internal void Clear()
    {
        Count = 0;
        _chunkCount = 0;
        _chunks = new Chunk[4];
    }

    /// <summary>The mapping that contains the address.</summary>
    internal Type1Mapping? At(ulong iova) => UpTo(iova) is { } below && below.Last >= iova ? below : null;

    /// <summary>Whether something in the range is mapped.</summary>
    internal bool Touches(IovaRange range) => UpTo(range.Last) is { } below && below.Last >= range.First;

    /// <summary>The first mapping that starts at an address or above it.</summary>
    internal Type1Mapping? From(ulong iova)
    {
        if (_chunkCount == 0)
        {
            return null;
        }

        int at = ChunkOf(iova);
        Chunk chunk = _chunks[at];
        int place = chunk.UpTo(iova);
        if (place != 0 && chunk.Starts[place - 1] == iova)
        {
            return chunk.Items[place - 1];
        }

        return place < chunk.Count ? chunk.Items[place] : at + 1 < _chunkCount ? _chunks[at + 1].Items[0] : null;
    }

    /// <summary>The mapping after another one.</summary>
    internal Type1Mapping? After(Type1Mapping mapping) => mapping.Last == ulong.MaxValue ? null : From(mapping.Last + 1);

    private Type1Mapping? UpTo(ulong iova)
    {
        if (_chunkCount == 0)
        {
            return null;
        }

        Chunk chunk = _chunks[ChunkOf(iova)];
        int place = chunk.UpTo(iova);
        return place == 0 ? null : chunk.Items[place - 1];
    }

    private int ChunkOf(ulong iova)
    {
        int low = 1;
        int high = _chunkCount;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_firsts[middle] <= iova)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low - 1;
    }

    private void InsertChunk(int at, Chunk chunk)
    {
        if (_chunkCount == _chunks.Length)
        {
            Array.Resize(ref _chunks, _chunkCount * 2);
        }

        if (_firsts.Length < _chunks.Length)
        {
            Array.Resize(ref _firsts, _chunks.Length);
        }

        Array.Copy(_chunks, at, _chunks, at + 1, _chunkCount - at);
        Array.Copy(_firsts, at, _firsts, at + 1, _chunkCount - at);
        _chunks[at] = chunk;
        _firsts[at] = chunk.Starts[0];
        _chunkCount++;
    }

    private void RemoveChunk(int at)
    {
        _chunkCount--;
        Array.Copy(_chunks, at + 1, _chunks, at, _chunkCount - at);
        Array.Copy(_firsts, at + 1, _firsts, at, _chunkCount - at);
        _chunks[_chunkCount] = null!;
    }

    private sealed class Chunk
    {
        internal ulong[] Starts { get; } = new ulong[Capacity];

        internal Type1Mapping[] Items { get; } = new Type1Mapping[Capacity];

        internal int Count { get; private set; }

        /// <summary>How many start at an address or below it.</summary>
        internal int UpTo(ulong iova)
        {
            int low = 0;
            int high = Count;
            while (low < high)
            {
                int middle = (low + high) >>> 1;
                if (Starts[middle] <= iova)
                {
                    low = middle + 1;
                }
                else
                {
                    high = middle;
                }
            }

            return low;
        }

        internal void Insert(int place, Type1Mapping mapping)
        {
            Array.Copy(Starts, place, Starts, place + 1, Count - place);
            Array.Copy(Items, place, Items, place + 1, Count - place);
            Starts[place] = mapping.Iova;
            Items[place] = mapping;
            Count++;
        }

        internal void RemoveAt(int place)
        {
            Count--;
            Array.Copy(Starts, place + 1, Starts, place, Count - place);
            Array.Copy(Items, place + 1, Items, place, Count - place);
            Items[Count] = null!;
        }

        internal Chunk Split(int at)
        {
            var upper = new Chunk();
            Array.Copy(Starts, at, upper.Starts, 0, Count - at);
            Array.Copy(Items, at, upper.Items, 0, Count - at);
            Array.Clear(Items, at, Count - at);
            upper.Count = Count - at;
            Count = at;
            return upper;
        }

        internal void Append(Chunk next)
        {
            Array.Copy(next.Starts, 0, Starts, Count, next.Count);
            Array.Copy(next.Items, 0, Items, Count, next.Count);
            Count += next.Count;
        }
    }
}
