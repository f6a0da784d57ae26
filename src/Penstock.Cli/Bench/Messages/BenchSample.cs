namespace Penstock.Cli.Bench;

/// <summary>One measure of one round.</summary>
/// <param name="Label">Which server.</param>
/// <param name="Round">Number of the round, from 0.</param>
/// <param name="Measure">Which measure.</param>
/// <param name="Mean">Nanoseconds for an operation, over the whole round.</param>
internal sealed record BenchSample(string Label, int Round, string Measure, double Mean);
