using System.Diagnostics;

namespace Penstock.Interop;

/// <summary>poll(2): waiting on one or two descriptors. Allocates nothing.</summary>
public static unsafe class Poll
{
    /// <summary>Waits on one descriptor.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="events">What to wait for.</param>
    /// <param name="timeout">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <returns>What happened; None when the time was up.</returns>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public static PollEvents Wait(int descriptor, PollEvents events, TimeSpan timeout)
    {
        var entry = new Native.PollDescriptor { Descriptor = descriptor, Events = (short)events };
        Run(&entry, 1, timeout);
        return (PollEvents)entry.Returned;
    }

    /// <summary>Waits on a descriptor until something happens there or a stop descriptor becomes readable.</summary>
    /// <param name="descriptor">The descriptor.</param>
    /// <param name="events">What to wait for.</param>
    /// <param name="stop">The descriptor that ends the wait; it goes first.</param>
    /// <param name="timeout">How long, or <see cref="Timeout.InfiniteTimeSpan"/>.</param>
    /// <param name="happened">What happened on <paramref name="descriptor"/>; None when the time was up.</param>
    /// <returns>False when the stop descriptor is readable.</returns>
    /// <exception cref="SystemCallException">The system refused.</exception>
    public static bool Wait(int descriptor, PollEvents events, int stop, TimeSpan timeout, out PollEvents happened)
    {
        Native.PollDescriptor* entries = stackalloc Native.PollDescriptor[2];
        entries[0] = new Native.PollDescriptor { Descriptor = descriptor, Events = (short)events };
        entries[1] = new Native.PollDescriptor { Descriptor = stop, Events = (short)PollEvents.In };
        Run(entries, 2, timeout);
        happened = (PollEvents)entries[0].Returned;
        return entries[1].Returned == 0;
    }

    /// <summary>What is left of a wait, as the calls want it; an interrupted wait goes on with the rest.</summary>
    /// <param name="start">Timestamp of the start of the wait.</param>
    /// <param name="timeout">The whole wait.</param>
    /// <returns>Milliseconds, rounded up; -1 for no end.</returns>
    internal static int MillisecondsLeft(long start, TimeSpan timeout) =>
        timeout == Timeout.InfiniteTimeSpan
            ? -1
            : (int)Math.Clamp(Math.Ceiling((timeout - Stopwatch.GetElapsedTime(start)).TotalMilliseconds), 0, int.MaxValue);

    private static void Run(Native.PollDescriptor* entries, nuint count, TimeSpan timeout)
    {
        long start = Stopwatch.GetTimestamp();
        while (true)
        {
            // SAFETY: the entries are on the caller's stack and as many as count says.
            if (Native.poll(entries, count, MillisecondsLeft(start, timeout)) >= 0)
            {
                return;
            }

            if (Native.LastError != Errno.EINTR)
            {
                throw Native.Failure("poll", $"{count} descriptors");
            }
        }
    }
}
