namespace Penstock.Cli.Bench;

/// <summary>How much is measured, by benchmarks that have nothing else to be told.</summary>
internal sealed record RoundsOptions
{
    public int Rounds { get; init; }

    public int Operations { get; init; }
}
