using System.Diagnostics;

namespace Penstock.Cli.Bench;

/// <summary>
/// Times of short batches. What interrupts the process hits few of them, so a round counts with the median of its batches; the mean over
/// everything is kept beside.
/// </summary>
internal sealed class BatchTimes(int rounds, int batches, int operations)
{
    private readonly double[] _medians = new double[rounds];
    private readonly double[] _round = new double[batches];
    private double _sum;
    private long _counted;

    /// <summary>The best round, in nanoseconds for an operation.</summary>
    public double Best => _medians.Min();

    /// <summary>The median of the rounds.</summary>
    public double Median => BenchSummary.MedianOf(_medians);

    /// <summary>The mean of all batches.</summary>
    public double Mean => _sum / _counted;

    public void Add(int batch, long ticks) => _round[batch] = ticks * (1e9 / Stopwatch.Frequency) / operations;

    /// <summary>A round has all its batches. Allocates nothing.</summary>
    public void End(int round)
    {
        Array.Sort(_round);
        foreach (double time in _round)
        {
            _sum += time;
        }

        _counted += _round.Length;
        int middle = _round.Length / 2;
        _medians[round] = _round.Length % 2 == 1 ? _round[middle] : (_round[middle - 1] + _round[middle]) / 2;
    }
}
