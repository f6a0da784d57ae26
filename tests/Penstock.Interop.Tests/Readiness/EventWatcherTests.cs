namespace Penstock.Interop.Tests.Readiness;

public sealed class EventWatcherTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);

    private readonly ResourceLedger _ledger = new();
    private readonly EventWatcher _watcher;

    public EventWatcherTests() => _watcher = new EventWatcher("test events", _ledger);

    [Fact]
    public void Watch_Signals_ReachTheHandlerDrained()
    {
        using var mine = EventDescriptor.Create();
        mine.Signal();
        mine.Signal();
        ulong seen = 0;
        using (_watcher.Watch(mine.Hold(_ledger), count => Interlocked.Add(ref seen, count)))
        {
            Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref seen) == 2, Patience));
            mine.Signal();
            Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref seen) == 3, Patience));
        }

        mine.Signal();
        Assert.True(mine.TryDrain(out ulong left));
        Assert.Equal(1ul, left);
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public async Task Dispose_HandlerRuns_WaitsForIt()
    {
        using var mine = EventDescriptor.Create();
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        EventWatch watch = _watcher.Watch(mine.Hold(_ledger), _ =>
        {
            inside.Set();
            leave.Wait(Patience);
        });
        mine.Signal();
        Assert.True(inside.Wait(Patience));
        Task ended = Task.Run(watch.Dispose);
        await Task.WhenAny(ended, Task.Delay(50));
        Assert.False(ended.IsCompleted);
        leave.Set();
        await ended.WaitAsync(Patience);
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Dispose_InsideTheHandler_EndsTheWatch()
    {
        using var mine = EventDescriptor.Create();
        EventWatch? watch = null;
        using var ready = new ManualResetEventSlim();
        using var done = new ManualResetEventSlim();
        watch = _watcher.Watch(mine.Hold(_ledger), _ =>
        {
            ready.Wait(Patience);
            watch!.Dispose();
            done.Set();
        });
        mine.Signal();
        ready.Set();
        Assert.True(done.Wait(Patience));
        Assert.True(SpinWait.SpinUntil(() => _ledger.Total == 0, Patience));
        using var other = EventDescriptor.Create();
        using var again = new ManualResetEventSlim();
        using (_watcher.Watch(other.Hold(_ledger), _ => again.Set()))
        {
            other.Signal();
            Assert.True(again.Wait(Patience));
        }
    }

    [Fact]
    public void Handler_Throws_OthersAreStillServed()
    {
        var log = new List<string>();
        var watcher = new EventWatcher("test events", _ledger, log.Add);
        using var bad = EventDescriptor.Create();
        using var good = EventDescriptor.Create();
        using var seen = new ManualResetEventSlim();
        using EventWatch first = watcher.Watch(bad.Hold(_ledger), static _ => throw new InvalidOperationException("a bug"));
        using EventWatch second = watcher.Watch(good.Hold(_ledger), _ => seen.Set());
        bad.Signal();
        Assert.True(SpinWait.SpinUntil(() => log.Count == 1, Patience));
        good.Signal();
        Assert.True(seen.Wait(Patience));
    }

    [Fact]
    public void Watch_ManyThreadsAddAndEnd_NothingIsLeft()
    {
        Parallel.For(0, 8, worker =>
        {
            for (int i = 0; i < 200; i++)
            {
                using var mine = EventDescriptor.Create();
                using var seen = new ManualResetEventSlim();
                using EventWatch watch = _watcher.Watch(mine.Hold(_ledger), _ => seen.Set());
                mine.Signal();
                Assert.True(seen.Wait(Patience));
            }
        });
        Assert.True(SpinWait.SpinUntil(() => _ledger.Total == 0, Patience), _ledger.ToString());
    }
}
