namespace Penstock.Vfio;

/// <summary>The mappings of a type1 container in order of their addresses; they never overlap.</summary>
internal sealed class Type1Mappings
{
    private readonly SortedSet<Type1Mapping> _set = new(Comparer<Type1Mapping>.Create((a, b) => a.Iova.CompareTo(b.Iova)));

    internal int Count => _set.Count;

    internal IEnumerable<Type1Mapping> All => _set;

    internal void Add(Type1Mapping mapping) => _set.Add(mapping);

    internal void Remove(Type1Mapping mapping) => _set.Remove(mapping);

    internal void Clear() => _set.Clear();

    /// <summary>The mapping that contains the address.</summary>
    internal Type1Mapping? At(ulong iova) =>
        _set.GetViewBetween(Probe(0), Probe(iova)).Max is { } below && below.Last >= iova ? below : null;

    /// <summary>Whether something in the range is mapped.</summary>
    internal bool Touches(IovaRange range) =>
        _set.GetViewBetween(Probe(0), Probe(range.Last)).Max is { } below && below.Last >= range.First;

    /// <summary>The mappings that start in the range, ascending.</summary>
    internal List<Type1Mapping> StartingIn(IovaRange range)
    {
        var found = new List<Type1Mapping>();
        foreach (Type1Mapping mapping in _set.GetViewBetween(Probe(range.First), Probe(range.Last)))
        {
            found.Add(mapping);
        }

        return found;
    }

    private static Type1Mapping Probe(ulong iova) => new() { Iova = iova, Size = 1, Access = DmaAccess.None };
}
