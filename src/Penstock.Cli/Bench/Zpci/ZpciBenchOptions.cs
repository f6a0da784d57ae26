namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench zpci</c> was asked for.</summary>
internal sealed record ZpciBenchOptions
{
    public const string Walk = "walk";
    public const string Rpcit = "rpcit";
    public const string Unmap = "unmap";
    public const string Load = "load";
    public const string Interrupts = "interrupts";
    public static readonly string[] Parts = [Walk, Rpcit, Unmap, Load, Interrupts];

    /// <summary>The C walk; null to do without.</summary>
    public string? Walker { get; init; }

    public int Rounds { get; init; }

    /// <summary>Walks in a round; RPCITs, unmaps, loads and interruptions are in proportion.</summary>
    public int Operations { get; init; }

    public int Processor { get; init; }

    /// <summary>Which parts, of <see cref="Parts"/>.</summary>
    public required IReadOnlyList<string> Measures { get; init; }

    /// <summary>Where the plot is written; null for none.</summary>
    public string? Plot { get; init; }
}
