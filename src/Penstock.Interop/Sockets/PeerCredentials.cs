namespace Penstock.Interop;

/// <summary>Who is at the other end of a Unix socket, as the kernel recorded it when the connection was made.</summary>
/// <param name="ProcessId">The peer's process.</param>
/// <param name="UserId">The peer's effective user.</param>
/// <param name="GroupId">The peer's effective group.</param>
public readonly record struct PeerCredentials(int ProcessId, uint UserId, uint GroupId);
