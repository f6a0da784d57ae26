namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench dma</c> was asked for.</summary>
internal sealed record DmaBenchOptions
{
    public int Rounds { get; init; }

    public int Operations { get; init; }

    public int Processor { get; init; }
}
