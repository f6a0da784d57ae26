namespace Penstock.Vfio;

/// <summary>Who is charged for locked memory: all processes of a user together, or one process.</summary>
/// <param name="UserId">The user.</param>
/// <param name="ProcessId">The process; null for the user. What else is known of a caller may change while its account stays.</param>
internal readonly record struct LockedMemoryAccount(uint UserId, int? ProcessId)
{
    internal static LockedMemoryAccount OfProcess(Caller caller) => new(caller.UserId, caller.ProcessId);

    public override string ToString() => ProcessId is null ? $"user {UserId}" : $"process {ProcessId} of user {UserId}";
}
