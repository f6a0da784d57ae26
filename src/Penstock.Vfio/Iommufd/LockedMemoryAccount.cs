namespace Penstock.Vfio;

/// <summary>Who is charged for locked memory: all processes of a user together, or one process.</summary>
/// <param name="UserId">The user.</param>
/// <param name="Process">The process; null for the user.</param>
internal readonly record struct LockedMemoryAccount(uint UserId, Caller? Process)
{
    public override int GetHashCode() => HashCode.Combine(UserId, Process?.ProcessId);

    public override string ToString() => Process is null ? $"user {UserId}" : $"a process of user {UserId}";
}
