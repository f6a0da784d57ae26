namespace Penstock.Interop;

/// <summary>What this process is allowed to do, as the kernel sees it.</summary>
public static class CurrentProcess
{
    private const int CapabilityIpcLock = 14;
    private const int CapabilitySysRawIo = 17;
    private const int CapabilitySysResource = 24;

    /// <summary>Effective user id.</summary>
    public static uint UserId => Native.geteuid();

    /// <summary>Whether it has CAP_SYS_RAWIO.</summary>
    public static bool HasRawIo => HasCapability(CapabilitySysRawIo);

    /// <summary>Whether it has CAP_IPC_LOCK.</summary>
    public static bool HasLockMemory => HasCapability(CapabilityIpcLock);

    /// <summary>Whether it has CAP_SYS_RESOURCE.</summary>
    public static bool HasSysResource => HasCapability(CapabilitySysResource);

    /// <summary>RLIMIT_MEMLOCK, soft, in bytes; <see cref="ulong.MaxValue"/> for no limit.</summary>
    public static ulong MemlockLimit
    {
        get
        {
            foreach (string line in File.ReadLines("/proc/self/limits"))
            {
                if (line.StartsWith("Max locked memory", StringComparison.Ordinal))
                {
                    string soft = line["Max locked memory".Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0];
                    return ulong.TryParse(soft, out ulong limit) ? limit : ulong.MaxValue;
                }
            }

            return 0;
        }
    }

    /// <summary>
    /// Allows another process of this user to look into this one, where the system does not allow that to every one (Yama's ptrace_scope 1); elsewhere it
    /// changes nothing. What was allowed before ends.
    /// </summary>
    /// <param name="processId">The other process; 0 for none.</param>
    public static void AllowTracing(int processId) => _ = Native.prctl(Native.PR_SET_PTRACER, (nuint)(uint)processId, 0, 0, 0);

    private static bool HasCapability(int capability)
    {
        foreach (string line in File.ReadLines("/proc/self/status"))
        {
            if (line.StartsWith("CapEff:", StringComparison.Ordinal))
            {
                ulong mask = Convert.ToUInt64(line["CapEff:".Length..].Trim(), 16);
                return ((mask >> capability) & 1) != 0;
            }
        }

        return false;
    }
}
