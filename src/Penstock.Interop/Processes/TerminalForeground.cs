namespace Penstock.Interop;

/// <summary>Job control: a process in the background that reads its terminal is stopped by the kernel.</summary>
public static class TerminalForeground
{
    /// <summary>Whether reading a descriptor cannot stop this process.</summary>
    /// <param name="descriptor">The descriptor, usually standard input.</param>
    /// <returns>True when it is no terminal, or one that this process is in the foreground of.</returns>
    public static bool MayRead(int descriptor)
    {
        int foreground = Native.tcgetpgrp(descriptor);
        return foreground < 0 || foreground == Native.getpgrp();
    }
}
