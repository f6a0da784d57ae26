namespace Penstock.Cli.Demo;

/// <summary>Something that the demonstration verifies was not so.</summary>
internal sealed class DemoFailure(string message) : Exception(message);
