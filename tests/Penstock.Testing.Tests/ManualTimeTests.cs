namespace Penstock.Testing.Tests;

public sealed class ManualTimeTests
{
    [Fact]
    public void Advance_TimersThatFallDue_RunInOrderAtTheirTime()
    {
        var time = new ManualTime();
        var seen = new List<(string Name, TimeSpan At)>();
        DateTimeOffset start = time.GetUtcNow();
        using ITimer late = time.CreateTimer(_ => seen.Add(("late", time.GetUtcNow() - start)), null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
        using ITimer periodic = time.CreateTimer(_ => seen.Add(("periodic", time.GetUtcNow() - start)), null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));
        Assert.Equal(2, time.Timers);
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.Empty(seen);
        time.Advance(TimeSpan.FromSeconds(4));
        Assert.Equal([("periodic", TimeSpan.FromSeconds(2)), ("periodic", TimeSpan.FromSeconds(4)), ("late", TimeSpan.FromSeconds(5))], seen);
        Assert.Equal(1, time.Timers);
        periodic.Dispose();
        Assert.Equal(0, time.Timers);
    }

    [Fact]
    public async Task Delay_OnTheClock_EndsWhenItIsMoved()
    {
        var time = new ManualTime();
        Task delay = Task.Delay(TimeSpan.FromHours(1), time);
        Assert.False(delay.IsCompleted);
        time.Advance(TimeSpan.FromHours(1));
        await delay;
        Assert.Equal(TimeSpan.FromHours(1), time.GetElapsedTime(0));
    }
}
