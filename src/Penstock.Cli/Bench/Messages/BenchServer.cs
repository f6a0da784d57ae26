namespace Penstock.Cli.Bench;

/// <summary>A server that is measured.</summary>
internal sealed record BenchServer(string Label, string Socket, BenchProcess Process);
