using Penstock.Hypervisor;

namespace Penstock.Cli.Serve;

/// <summary>What <c>penstock serve</c> was asked for.</summary>
internal sealed record ServeOptions
{
    public required string Device { get; init; }

    public required IReadOnlyDictionary<string, string> DeviceOptions { get; init; }

    public required string Socket { get; init; }

    public bool Once { get; init; }

    public bool Guard { get; init; }

    public int? Processor { get; init; }

    public string? RecordFile { get; init; }

    public RpcitPath? Rpcit { get; init; }
}
