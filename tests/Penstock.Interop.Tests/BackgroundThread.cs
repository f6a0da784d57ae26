namespace Penstock.Interop.Tests;

/// <summary>A thread whose fault fails the test that joins it, and never ends the test run.</summary>
internal sealed class BackgroundThread
{
    private readonly Thread _thread;
    private Exception? _fault;
    private int _id;

    private BackgroundThread(Action body) =>
        _thread = new Thread(() =>
        {
            Volatile.Write(ref _id, Libc.ThreadId());
            try
            {
                body();
            }
            catch (Exception e)
            {
                _fault = e;
            }
        })
        { IsBackground = true };

    public static BackgroundThread Start(Action body)
    {
        var thread = new BackgroundThread(body);
        thread._thread.Start();
        return thread;
    }

    /// <summary>Waits until it sleeps in the kernel.</summary>
    public void WaitUntilAsleep()
    {
        SpinWait.SpinUntil(() => Volatile.Read(ref _id) != 0);
        Libc.WaitUntilAsleep(_id);
    }

    public void Join()
    {
        Assert.True(_thread.Join(TimeSpan.FromMinutes(5)), "the thread never ended");
        Assert.Null(_fault);
    }
}
