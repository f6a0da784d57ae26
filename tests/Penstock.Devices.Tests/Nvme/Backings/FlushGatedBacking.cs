using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Another backing whose flushes can be made to wait or to fail.</summary>
internal sealed class FlushGatedBacking(INvmeBacking inner) : PassingBacking(inner)
{
    private int _waiting;

    public ManualResetEventSlim Gate { get; } = new(initialState: true);

    /// <summary>What flushes answer instead of doing anything.</summary>
    public Errno Answer { get; set; }

    public bool IsWaiting => Volatile.Read(ref _waiting) > 0;

    public void Close() => Gate.Reset();

    public void Open() => Gate.Set();

    public override Errno Flush()
    {
        Interlocked.Increment(ref _waiting);
        Gate.Wait(TimeSpan.FromMinutes(1));
        Interlocked.Decrement(ref _waiting);
        return Answer == Errno.None ? base.Flush() : Answer;
    }
}
