namespace Penstock.Interop.Tests;

/// <summary>Runs something on a thread that a second thread interrupts with signals all the while.</summary>
internal static class SignalledThread
{
    /// <summary>Runs <paramref name="body"/> under signals; it gets a way to read how many signals were sent so far.</summary>
    public static void Run(Action<Func<long>> body)
    {
        Libc.CatchSignal(Libc.SIGUSR2);
        int target = 0;
        long sent = 0;
        bool finished = false;
        Exception? fault = null;

        // Not disposed: a thread that never ends may still come to it.
        var released = new ManualResetEventSlim();
        var worker = new Thread(() =>
        {
            Volatile.Write(ref target, Libc.ThreadId());
            try
            {
                body(() => Interlocked.Read(ref sent));
            }
            catch (Exception e)
            {
                fault = e;
            }

            // The thread must outlive the last signal.
            Volatile.Write(ref finished, true);
            released.Wait();
        })
        { IsBackground = true };
        worker.Start();
        SpinWait.SpinUntil(() => Volatile.Read(ref target) != 0);
        bool inTime = SpinWait.SpinUntil(
            () =>
            {
                Libc.Signal(target, Libc.SIGUSR2);
                Interlocked.Increment(ref sent);
                return Volatile.Read(ref finished);
            },
            TimeSpan.FromMinutes(5));
        released.Set();
        Assert.True(inTime, "the thread under signals never ended");
        worker.Join();
        Assert.Null(fault);
    }
}
