namespace Penstock.VfioUser;

/// <summary>A mediated device that is to be made and served.</summary>
/// <param name="Uuid">Its UUID.</param>
/// <param name="Path">Path of its socket, at most 107 bytes.</param>
public sealed record MdevEndpoint(Guid Uuid, string Path);
