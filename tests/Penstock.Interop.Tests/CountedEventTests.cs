namespace Penstock.Interop.Tests;

public sealed class CountedEventTests
{
    [Fact]
    public void Retire_WhileSomebodyIsInside_ClosesWhenHeLeaves()
    {
        var events = EventDescriptor.Create();
        var counted = new CountedEvent(events);
        Assert.True(counted.TrySignal());
        Assert.True(events.TryDrain(out _));
        Assert.True(counted.TryEnter());

        // It waits only a moment: whoever is inside may be stuck there.
        counted.Retire();
        Assert.Equal(Errno.None, events.Signal());
        Assert.False(counted.TryEnter());
        Assert.False(counted.TrySignal());
        counted.Leave();
        Assert.Throws<ObjectDisposedException>(() => events.Signal());
        Assert.False(counted.TrySignal());
    }

    [Fact]
    public void Retire_NobodyInside_ClosesAtOnce()
    {
        var events = EventDescriptor.Create();
        new CountedEvent(events).Retire();
        Assert.Throws<ObjectDisposedException>(() => events.Signal());
    }
}
