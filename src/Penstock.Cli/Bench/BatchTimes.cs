using System.Diagnostics;

namespace Penstock.Cli.Bench;

/// <summary>
/// Times of short batches. What interrupts the process hits few of them, so a round counts with the median of its batches; the mean over
/// everything is kept beside.
/// </summary>
internal sealed class BatchTimes(int rounds, int batches, int operations)
{
    private readonly double[,] _times = new double[rounds, batches];

    /// <summary>The best round, in nanoseconds for an operation.</summary>
    public double Best => Rounds().Min();

    /// <summary>The median of the rounds.</summary>
    public double Median => BenchSummary.MedianOf(Rounds());

    /// <summary>The mean of all batches.</summary>
    public double Mean => _times.Cast<double>().Average();

    public void Add(int round, int batch, long ticks) => _times[round, batch] = ticks * (1e9 / Stopwatch.Frequency) / operations;

    private double[] Rounds() =>
        [.. Enumerable.Range(0, rounds).Select(r => BenchSummary.MedianOf([.. Enumerable.Range(0, batches).Select(b => _times[r, b])]))];
}
