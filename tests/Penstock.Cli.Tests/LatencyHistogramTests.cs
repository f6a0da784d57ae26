using System.Diagnostics;
using Penstock.Cli.Bench;

namespace Penstock.Cli.Tests;

public sealed class LatencyHistogramTests
{
    // Classes are at most a sixty-fourth wide.
    private const double Bound = 1.0 / 64;

    [Fact]
    public void At_OneTimeOfAnyLength_IsNotBelowItAndAtMostAClassAbove()
    {
        foreach (long ticks in EveryLength())
        {
            // A longer one beside it, or the longest would be told exactly.
            var histogram = new LatencyHistogram();
            histogram.Add(ticks);
            histogram.Add(long.MaxValue);
            double seen = Ticks(histogram.At(0.5));
            Assert.True(seen >= ticks && seen <= ticks * (1 + Bound), $"{ticks} ticks are told as {seen}");
        }
    }

    [Fact]
    public void At_ShortTimes_AreExact()
    {
        var histogram = new LatencyHistogram();
        for (int i = 0; i < 128; i++)
        {
            histogram.Add(i);
        }

        for (int i = 0; i < 128; i++)
        {
            Assert.Equal(i, Ticks(histogram.At((i + 1) / 128.0)));
        }
    }

    [Fact]
    public void At_LongerTime_IsNeverToldShorter()
    {
        double before = -1;
        foreach (long ticks in EveryLength().Order())
        {
            var histogram = new LatencyHistogram();
            histogram.Add(ticks);
            histogram.Add(long.MaxValue);
            double seen = histogram.At(0.5);
            Assert.True(seen >= before, $"{ticks} ticks");
            before = seen;
        }
    }

    [Fact]
    public void At_SharesOfAKnownSet_AreItsPercentiles()
    {
        // 1 to 1000 times 1000 ticks, in an order that says nothing.
        var histogram = new LatencyHistogram();
        for (long i = 0; i < 1000; i++)
        {
            histogram.Add((((i * 389) % 1000) + 1) * 1000);
        }

        Assert.Equal(1000, histogram.Count);
        foreach ((double share, long ticks) in new[] { (0.0, 1000L), (0.001, 1000), (0.5, 500_000), (0.9, 900_000), (0.99, 990_000), (0.999, 999_000), (1.0, 1_000_000) })
        {
            Assert.InRange(Ticks(histogram.At(share)), ticks, ticks * (1 + Bound));
        }

        Assert.Equal(1_000_000, Ticks(histogram.At(1)));
        Assert.Equal(1_000_000, Ticks(histogram.Longest));
    }

    [Fact]
    public void At_OneOutlierOfMany_IsSeenOnlyAboveItsShare()
    {
        var histogram = new LatencyHistogram();
        for (int i = 0; i < 99; i++)
        {
            histogram.Add(100);
        }

        histogram.Add(70_000_000);
        Assert.Equal(100, Ticks(histogram.At(0.99)));
        Assert.Equal(70_000_000, Ticks(histogram.At(0.991)));
    }

    [Fact]
    public void Add_Extremes_AreHeld()
    {
        var histogram = new LatencyHistogram();
        Assert.Equal((0, 0, 0), (histogram.Count, histogram.At(0.5), histogram.Longest));

        // A clock that was set back.
        histogram.Add(long.MinValue);
        Assert.Equal((1, 0, 0), (histogram.Count, histogram.At(1), histogram.Longest));
        histogram.Add(long.MaxValue);
        Assert.Equal(2, histogram.Count);
        Assert.Equal(0, histogram.At(0.5));
        Assert.Equal((double)long.MaxValue, Ticks(histogram.At(1)), tolerance: 4096);
    }

    [Fact]
    public void Clear_IsAsNew()
    {
        var histogram = new LatencyHistogram();
        histogram.Add(5_000_000);
        histogram.Clear();
        Assert.Equal((0, 0, 0), (histogram.Count, histogram.At(1), histogram.Longest));
        histogram.Add(7);
        Assert.Equal((7, 7), (Ticks(histogram.At(0)), Ticks(histogram.Longest)));
    }

    /// <summary>Around each power of two and each edge of a class, and between.</summary>
    private static IEnumerable<long> EveryLength()
    {
        var random = new Random(6);
        for (int octave = 0; octave < 62; octave++)
        {
            long first = 1L << octave;
            for (int part = 0; part < 64; part++)
            {
                long edge = first + (long)((UInt128)first * (uint)part / 64);
                yield return edge - 1;
                yield return edge;
                yield return edge + 1;
            }

            yield return random.NextInt64(first, 2 * first);
        }
    }

    private static double Ticks(double nanoseconds) => Math.Round(nanoseconds * Stopwatch.Frequency / 1e9);
}
