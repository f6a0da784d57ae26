namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench maps</c> was asked for.</summary>
internal sealed record MapsBenchOptions
{
    public int Rounds { get; init; }

    public int Operations { get; init; }
}
