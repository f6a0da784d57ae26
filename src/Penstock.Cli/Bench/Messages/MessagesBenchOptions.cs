namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench messages</c> was asked for.</summary>
internal sealed record MessagesBenchOptions
{
    /// <summary>The script that builds the programs and names them.</summary>
    public required string Script { get; init; }

    public required string Client { get; init; }

    public string? Floor { get; init; }

    public int Rounds { get; init; }

    public int Operations { get; init; }

    public required string Measures { get; init; }

    public int Processor { get; init; }
}
