namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench messages</c> was asked for.</summary>
internal sealed record MessagesBenchOptions
{
    /// <summary>The script that builds the programs and names them.</summary>
    public required string Script { get; init; }

    /// <summary>The program that measures; null for our own client.</summary>
    public string? Client { get; init; }

    public string? Floor { get; init; }

    public int Rounds { get; init; }

    /// <summary>How often both servers are started; the rounds are spread over the starts.</summary>
    public int Starts { get; init; } = 1;

    public int Operations { get; init; }

    public required string Measures { get; init; }

    public int Processor { get; init; }
}
