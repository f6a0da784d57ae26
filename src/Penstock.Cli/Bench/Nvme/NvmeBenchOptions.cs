namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench nvme</c> was asked for.</summary>
internal sealed record NvmeBenchOptions
{
    public int Rounds { get; init; }

    public int Operations { get; init; }

    public required string Size { get; init; }

    public string? Image { get; init; }

    /// <summary>A program that serves another controller, on the socket that is its only argument; null for none.</summary>
    public string? Peer { get; init; }

    /// <summary>Where the host's driver runs.</summary>
    public int HostProcessor { get; init; }

    /// <summary>Where each server runs as a whole.</summary>
    public int ServerProcessor { get; init; }
}
