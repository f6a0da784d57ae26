namespace Penstock.Interop;

/// <summary>Stopping processes of one's own for a while. All members may be called from any thread.</summary>
public static class ProcessControl
{
    private const int SIGCONT = 18;
    private const int SIGSTOP = 19;

    /// <summary>Stops a process: it does nothing until <see cref="Continue"/>.</summary>
    /// <param name="processId">Its id; one that the caller has started and not waited for.</param>
    /// <exception cref="SystemCallException">There is no such process (ESRCH), or it is another user's (EPERM).</exception>
    public static void Stop(int processId) => Send(processId, SIGSTOP);

    /// <summary>Lets a stopped process go on; without effect on one that runs.</summary>
    /// <param name="processId">Its id.</param>
    /// <exception cref="SystemCallException">As <see cref="Stop"/>.</exception>
    public static void Continue(int processId) => Send(processId, SIGCONT);

    private static void Send(int processId, int signal)
    {
        // 0 and negative numbers would be groups of processes.
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(processId);
        if (Native.kill(processId, signal) < 0)
        {
            throw new SystemCallException("kill", $"process {processId}", Native.LastError);
        }
    }
}
