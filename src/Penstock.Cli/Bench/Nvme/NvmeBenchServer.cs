using Penstock.Specs.Nvme;

namespace Penstock.Cli.Bench;

/// <summary>A server that is measured, alone or in turn with another one, with the rounds of a measure.</summary>
internal sealed class NvmeBenchServer(string label, NvmeBenchRig rig, bool inTurn)
{
    private readonly NvmeBenchLoop _loop = new(rig);

    public string Label { get; } = label;

    public NvmeBenchRig Rig { get; } = rig;

    public List<NvmeBenchRound> Rounds { get; } = [];

    public LatencyHistogram Latencies { get; } = new();

    /// <summary>Commands a second of the best round.</summary>
    public double Best => Rounds.Max(static r => r.PerSecond);

    /// <summary>Commands a second of the median round.</summary>
    public double Median => BenchSummary.MedianOf([.. Rounds.Select(static r => r.PerSecond).Order()]);

    /// <summary>Runs a round, in which this server alone runs.</summary>
    public void Run(NvmeIoOpcode opcode, int depth, int operations, bool isCounted, CancellationToken cancellation)
    {
        if (inTurn)
        {
            Rig.Resume();
        }

        try
        {
            NvmeBenchRound round = _loop.Run(opcode, depth, operations, Latencies, cancellation);
            if (isCounted)
            {
                Rounds.Add(round);
            }
            else
            {
                Latencies.Clear();
            }
        }
        finally
        {
            if (inTurn)
            {
                Rig.Pause();
            }
        }
    }

    /// <summary>Forgets the rounds, before the next measure.</summary>
    public void Forget()
    {
        Rounds.Clear();
        Latencies.Clear();
    }
}
