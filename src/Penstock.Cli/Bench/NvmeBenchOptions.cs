namespace Penstock.Cli.Bench;

/// <summary>What <c>penstock bench nvme</c> was asked for.</summary>
internal sealed record NvmeBenchOptions
{
    public int Rounds { get; init; }

    public int Operations { get; init; }

    public required string Size { get; init; }

    public string? Image { get; init; }

    /// <summary>Where the host's driver runs.</summary>
    public int HostProcessor { get; init; }

    /// <summary>Where the whole server runs.</summary>
    public int ServerProcessor { get; init; }
}
