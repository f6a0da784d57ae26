using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Who makes a call: identity and the privileges that some calls ask for.</summary>
/// <param name="UserId">User id.</param>
/// <param name="RawIo">CAP_SYS_RAWIO: may use devices without an IOMMU.</param>
/// <param name="LockMemory">CAP_IPC_LOCK: locked memory is not limited.</param>
/// <param name="MemlockLimit">Limit of locked memory in bytes.</param>
public sealed record Caller(uint UserId, bool RawIo, bool LockMemory, ulong MemlockLimit)
{
    /// <summary>CAP_SYS_RESOURCE: may choose how locked memory is accounted.</summary>
    public bool Resources { get; init; }

    /// <summary>The process, as far as locked memory is accounted by process.</summary>
    public int ProcessId { get; init; }

    /// <summary>This process, asked now.</summary>
    public static Caller Current =>
        new(CurrentProcess.UserId, CurrentProcess.HasRawIo, CurrentProcess.HasLockMemory, CurrentProcess.MemlockLimit)
        {
            Resources = CurrentProcess.HasSysResource,
            ProcessId = Environment.ProcessId,
        };

    /// <summary>
    /// A peer on a socket. Its memory is shared rather than locked, so no limit applies; raw I/O only root has.
    /// </summary>
    /// <param name="userId">User id from the socket's credentials.</param>
    /// <param name="processId">Process id from the socket's credentials.</param>
    /// <returns>The caller.</returns>
    public static Caller ForPeer(uint userId, int processId) => new(userId, RawIo: userId == 0, LockMemory: true, ulong.MaxValue) { ProcessId = processId };
}
