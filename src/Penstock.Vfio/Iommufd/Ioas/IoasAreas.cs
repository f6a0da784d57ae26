namespace Penstock.Vfio;

/// <summary>The areas of an I/O address space in order of their addresses; they never overlap.</summary>
internal sealed class IoasAreas
{
    private readonly SortedSet<IoasArea> _set = new(Comparer<IoasArea>.Create((a, b) => a.Iova.CompareTo(b.Iova)));

    internal int Count => _set.Count;

    internal IEnumerable<IoasArea> All => _set;

    internal void Add(IoasArea area) => _set.Add(area);

    internal void Remove(IoasArea area) => _set.Remove(area);

    /// <summary>The area that contains an address.</summary>
    internal IoasArea? At(ulong iova) => LastTouching(new IovaRange(iova, iova));

    /// <summary>The highest area that shares an address with the range.</summary>
    internal IoasArea? LastTouching(IovaRange range) =>
        _set.Count != 0 && _set.GetViewBetween(Probe(0), Probe(range.Last)).Max is { } below && below.Last >= range.First ? below : null;

    /// <summary>The lowest area that shares an address with the range.</summary>
    internal IoasArea? FirstTouching(IovaRange range) =>
        At(range.First) ?? (_set.Count == 0 ? null : _set.GetViewBetween(Probe(range.First), Probe(range.Last)).Min);

    /// <summary>
    /// Cuts a range at the borders of the areas that hold it. Stops at the first hole: the pieces then do not reach the range's end.
    /// </summary>
    internal IEnumerable<(IoasArea Area, ulong Iova, ulong Length)> Pieces(IovaRange range)
    {
        ulong iova = range.First;
        while (At(iova) is { } area)
        {
            ulong last = Math.Min(area.Last, range.Last);
            yield return (area, iova, last - iova + 1);
            if (last == range.Last)
            {
                yield break;
            }

            iova = last + 1;
        }
    }

    private static IoasArea Probe(ulong iova) => new() { Iova = iova, Length = 1, Access = DmaAccess.None };
}
