namespace Penstock.Interop;

/// <summary>
/// Counts what is owned on behalf of one host object, so that a test can compare before and after.
/// All members may be called from any thread.
/// </summary>
public sealed class ResourceLedger
{
    private readonly long[] _outstanding = new long[Enum.GetValues<ResourceKind>().Length];

    /// <summary>The sum over all kinds.</summary>
    public long Total
    {
        get
        {
            long sum = 0;
            for (int i = 0; i < _outstanding.Length; i++)
            {
                sum += Interlocked.Read(ref _outstanding[i]);
            }

            return sum;
        }
    }

    /// <summary>How many of <paramref name="kind"/> are owned now.</summary>
    /// <param name="kind">The kind.</param>
    /// <returns>The number outstanding.</returns>
    public long Outstanding(ResourceKind kind) => Interlocked.Read(ref _outstanding[(int)kind]);

    /// <summary>Records that one more is owned.</summary>
    /// <param name="kind">The kind.</param>
    public void Acquired(ResourceKind kind) => Interlocked.Increment(ref _outstanding[(int)kind]);

    /// <summary>Records that one is owned no more.</summary>
    /// <param name="kind">The kind.</param>
    public void Released(ResourceKind kind) => Interlocked.Decrement(ref _outstanding[(int)kind]);

    /// <summary>Records that more are owned.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="count">How many.</param>
    public void Acquired(ResourceKind kind, long count) => Interlocked.Add(ref _outstanding[(int)kind], count);

    /// <summary>Records that some are owned no more.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="count">How many.</param>
    public void Released(ResourceKind kind, long count) => Interlocked.Add(ref _outstanding[(int)kind], -count);

    /// <summary>One line for people: the kinds with something outstanding.</summary>
    /// <returns>For example <c>Descriptor 2, Mapping 1</c>, or <c>nothing</c>.</returns>
    public override string ToString()
    {
        var parts = new List<string>();
        foreach (ResourceKind kind in Enum.GetValues<ResourceKind>())
        {
            long n = Outstanding(kind);
            if (n != 0)
            {
                parts.Add($"{kind} {n}");
            }
        }

        return parts.Count == 0 ? "nothing" : string.Join(", ", parts);
    }
}
