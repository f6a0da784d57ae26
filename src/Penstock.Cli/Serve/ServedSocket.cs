namespace Penstock.Cli.Serve;

/// <summary>A socket on which a device is served.</summary>
/// <param name="Path">Its path.</param>
/// <param name="Uuid">For a mediated device its UUID.</param>
internal sealed record ServedSocket(string Path, string? Uuid = null);
