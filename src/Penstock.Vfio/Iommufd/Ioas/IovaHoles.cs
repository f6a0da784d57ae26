namespace Penstock.Vfio;

/// <summary>What is left of the address space between some ranges.</summary>
internal static class IovaHoles
{
    /// <summary>The holes, ascending.</summary>
    internal static List<IovaRange> Between(IEnumerable<IovaRange> used)
    {
        var holes = new List<IovaRange>();
        ulong next = 0;
        foreach (IovaRange range in used.OrderBy(r => r.First))
        {
            if (range.First > next)
            {
                holes.Add(new IovaRange(next, range.First - 1));
            }

            if (range.Last == ulong.MaxValue)
            {
                return holes;
            }

            next = Math.Max(next, range.Last + 1);
        }

        holes.Add(new IovaRange(next, ulong.MaxValue));
        return holes;
    }
}
