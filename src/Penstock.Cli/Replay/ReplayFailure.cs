namespace Penstock.Cli.Replay;

/// <summary>A recording is not what it should be: exit status 1.</summary>
internal sealed class ReplayFailure(string message) : IOException(message);
