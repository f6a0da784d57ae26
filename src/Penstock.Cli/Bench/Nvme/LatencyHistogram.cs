using System.Diagnostics;
using System.Numerics;
using System.Runtime.CompilerServices;

namespace Penstock.Cli.Bench;

/// <summary>
/// Counts times by their size, in classes that are at most a sixty-fourth wide: any number of them takes the same room, and percentiles are right to 2 %.
/// </summary>
internal sealed class LatencyHistogram
{
    private const int ClassBits = 6;
    private const int Classes = 1 << ClassBits;

    // Shorter ones than two octaves' worth are counted exactly.
    private readonly long[] _counts = new long[(64 - ClassBits + 1) * Classes];

    /// <summary>The longest, in nanoseconds.</summary>
    public double Longest => _longest * (1e9 / Stopwatch.Frequency);

    private long _longest;

    /// <summary>How many there are.</summary>
    public long Count { get; private set; }

    /// <summary>Counts a time.</summary>
    /// <param name="ticks">The time in ticks of the clock.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Add(long ticks)
    {
        ticks = Math.Max(ticks, 0);
        _counts[ClassOf((ulong)ticks)]++;
        _longest = Math.Max(_longest, ticks);
        Count++;
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Array.Clear(_counts);
        _longest = 0;
        Count = 0;
    }

    /// <summary>The time that a share of all does not exceed, in nanoseconds.</summary>
    /// <param name="share">From 0 to 1.</param>
    public double At(double share)
    {
        long wanted = Math.Clamp((long)Math.Ceiling(share * Count), 1, Math.Max(Count, 1));
        int index = 0;
        for (long below = _counts[0]; below < wanted && index < _counts.Length - 1;)
        {
            below += _counts[++index];
        }

        return Math.Min(UpperEnd(index), (double)_longest) * (1e9 / Stopwatch.Frequency);
    }

    private static int ClassOf(ulong ticks)
    {
        int shift = Math.Max(0, BitOperations.Log2(ticks | 1) - ClassBits);
        return (shift * Classes) + (int)(ticks >> shift);
    }

    /// <summary>The greatest time of a class.</summary>
    private static double UpperEnd(int index)
    {
        int shift = Math.Max(0, (index / Classes) - 1);
        ulong first = (ulong)(index - (shift * Classes)) << shift;
        return first + ((1ul << shift) - 1);
    }
}
