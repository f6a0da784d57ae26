using System.Runtime.CompilerServices;

namespace Penstock.Vfio;

/// <summary>
/// The mappings of a type1 container in order of their addresses; they never overlap. A list of short sorted lists: finding one is two
/// binary searches, changing one moves a few neighbours. What a search looks at lies together, because with many mappings nearly all of
/// the time goes to memory that is in no cache.
/// </summary>
internal sealed class Type1Mappings
{
    private const int Capacity = 32;
    private const int Sparse = Capacity / 2;

    private ulong[] _firsts = new ulong[4];
    private int[] _counts = new int[4];
    private Place[][] _lists = new Place[4][];
    private int _listCount;

    // The list that was emptied last, and nothing in it.
    private Place[]? _spare;

    internal int Count { get; private set; }

    /// <summary>All of them, ascending; they must not change meanwhile.</summary>
    internal IEnumerable<Type1Mapping> All
    {
        get
        {
            for (int l = 0; l < _listCount; l++)
            {
                for (int i = 0; i < _counts[l]; i++)
                {
                    yield return _lists[l][i].Mapping;
                }
            }
        }
    }

    internal void Add(Type1Mapping mapping)
    {
        Count++;
        if (_listCount == 0)
        {
            InsertList(0, NewList(), 0);
        }

        int at = ListOf(mapping.Iova);
        int place = UpTo(at, mapping.Iova);
        if (_counts[at] == Capacity)
        {
            // Maps usually arrive in ascending order: then full lists stay full.
            bool ascending = at == _listCount - 1 && place == Capacity;
            Split(at, ascending ? Capacity : Sparse);
            if (place > Sparse)
            {
                place -= _counts[at];
                at++;
            }
        }

        Place[] list = _lists[at];
        if (place != _counts[at])
        {
            Array.Copy(list, place, list, place + 1, _counts[at] - place);
        }

        list[place] = new Place(mapping.Iova, mapping);
        _counts[at]++;
        _firsts[at] = _counts[at] == 1 ? mapping.Iova : Math.Min(_firsts[at], mapping.Iova);
    }

    internal void Remove(Type1Mapping mapping)
    {
        Count--;
        int at = ListOf(mapping.Iova);
        int place = UpTo(at, mapping.Iova);
        Place[] list = _lists[at];
        int count = --_counts[at];
        if (place <= count)
        {
            Array.Copy(list, place, list, place - 1, count + 1 - place);
        }

        list[count] = default;
        if (count == 0)
        {
            // The only list stays, and is empty: a guest that maps and unmaps one buffer in turn moves nothing.
            if (_listCount != 1)
            {
                RemoveList(at);
            }

            return;
        }

        // The list stays where it begins, so that the same mapping comes back to it.
        if (at + 1 < _listCount && count + _counts[at + 1] <= Sparse)
        {
            Join(at);
        }
        else if (at != 0 && _counts[at - 1] + count <= Sparse)
        {
            Join(at - 1);
        }
    }

    internal void Clear()
    {
        Count = 0;
        Array.Clear(_lists, 0, _listCount);
        _listCount = 0;
    }

    /// <summary>The mapping that contains the address.</summary>
    internal Type1Mapping? At(ulong iova) => Below(iova) is { } below && below.Last >= iova ? below : null;

    /// <summary>Whether something in the range is mapped.</summary>
    internal bool Touches(IovaRange range) => Below(range.Last) is { } below && below.Last >= range.First;

    /// <summary>The first mapping that starts at an address or above it.</summary>
    internal Type1Mapping? From(ulong iova)
    {
        if (_listCount == 0)
        {
            return null;
        }

        int at = ListOf(iova);
        int place = UpTo(at, iova);
        return place != 0 && _lists[at][place - 1].Start == iova ? _lists[at][place - 1].Mapping
            : place < _counts[at] ? _lists[at][place].Mapping
            : at + 1 < _listCount ? _lists[at + 1][0].Mapping
            : null;
    }

    /// <summary>The mapping after another one.</summary>
    internal Type1Mapping? After(Type1Mapping mapping) => mapping.Last == ulong.MaxValue ? null : From(mapping.Last + 1);

    private Type1Mapping? Below(ulong iova)
    {
        if (_listCount == 0)
        {
            return null;
        }

        int at = ListOf(iova);
        int place = UpTo(at, iova);
        return place != 0 ? _lists[at][place - 1].Mapping
            : at != 0 ? _lists[at - 1][_counts[at - 1] - 1].Mapping
            : null;
    }

    // Neither search branches on what it finds: nobody could foretell it.
    private int ListOf(ulong iova)
    {
        ReadOnlySpan<ulong> firsts = _firsts.AsSpan(1, _listCount - 1);
        int low = 0;
        int count = firsts.Length;
        while (count > 1)
        {
            int half = count >> 1;
            low += half & -Unsafe.BitCast<bool, byte>(firsts[low + half - 1] <= iova);
            count -= half;
        }

        return low + (count == 1 ? Unsafe.BitCast<bool, byte>(firsts[low] <= iova) : 0);
    }

    /// <summary>How many mappings of a list start at an address or below it.</summary>
    private int UpTo(int at, ulong iova)
    {
        ReadOnlySpan<Place> list = _lists[at];
        int low = 0;
        int count = _counts[at];
        while (count > 1)
        {
            int half = count >> 1;
            low += half & -Unsafe.BitCast<bool, byte>(list[low + half - 1].Start <= iova);
            count -= half;
        }

        return low + (count == 1 ? Unsafe.BitCast<bool, byte>(list[low].Start <= iova) : 0);
    }

    private void Split(int at, int keep)
    {
        Place[] upper = NewList();
        Array.Copy(_lists[at], keep, upper, 0, Capacity - keep);
        Array.Clear(_lists[at], keep, Capacity - keep);
        _counts[at] = keep;
        InsertList(at + 1, upper, Capacity - keep);
    }

    private void Join(int at)
    {
        Place[] from = _lists[at + 1];
        Array.Copy(from, 0, _lists[at], _counts[at], _counts[at + 1]);
        Array.Clear(from, 0, _counts[at + 1]);
        _counts[at] += _counts[at + 1];
        RemoveList(at + 1);
    }

    private void InsertList(int at, Place[] list, int count)
    {
        if (_listCount == _lists.Length)
        {
            Array.Resize(ref _lists, _listCount * 2);
            Array.Resize(ref _counts, _listCount * 2);
            Array.Resize(ref _firsts, _listCount * 2);
        }

        Array.Copy(_lists, at, _lists, at + 1, _listCount - at);
        Array.Copy(_counts, at, _counts, at + 1, _listCount - at);
        Array.Copy(_firsts, at, _firsts, at + 1, _listCount - at);
        _lists[at] = list;
        _counts[at] = count;
        _firsts[at] = list[0].Start;
        _listCount++;
    }

    private Place[] NewList()
    {
        Place[] list = _spare ?? new Place[Capacity];
        _spare = null;
        return list;
    }

    /// <summary>Takes a list out whose places are empty.</summary>
    private void RemoveList(int at)
    {
        _spare = _lists[at];
        _listCount--;
        Array.Copy(_lists, at + 1, _lists, at, _listCount - at);
        Array.Copy(_counts, at + 1, _counts, at, _listCount - at);
        Array.Copy(_firsts, at + 1, _firsts, at, _listCount - at);
        _lists[_listCount] = null!;
    }

    private readonly record struct Place(ulong Start, Type1Mapping Mapping);
}
