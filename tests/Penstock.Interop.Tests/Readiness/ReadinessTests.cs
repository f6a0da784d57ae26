namespace Penstock.Interop.Tests.Readiness;

public sealed class ReadinessTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();
    private readonly EventDescriptor _first;
    private readonly EventDescriptor _second;
    private readonly (ulong Tag, PollEvents Events)[] _ready = new (ulong, PollEvents)[8];

    public ReadinessTests()
    {
        _first = EventDescriptor.Create(_ledger);
        _second = EventDescriptor.Create(_ledger);
    }

    public void Dispose()
    {
        _first.Dispose();
        _second.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void Wait_SomeReady_ReportsTheirTags()
    {
        using var set = new ReadinessSet(_ledger);
        set.Add(_first.Descriptor.Value, PollEvents.In, ulong.MaxValue);
        set.Add(_second.Descriptor.Value, PollEvents.In, 0x1_0000_0002);
        Assert.Equal(0, set.Wait(_ready, TimeSpan.Zero));
        _second.Signal();
        Assert.Equal(1, set.Wait(_ready, Timeout.InfiniteTimeSpan));
        Assert.Equal((0x1_0000_0002ul, PollEvents.In), _ready[0]);
        _first.Signal();
        Assert.Equal(2, set.Wait(_ready, Timeout.InfiniteTimeSpan));
        Assert.Equal([0x1_0000_0002ul, ulong.MaxValue], _ready[..2].Select(static r => r.Tag).Order());
        Assert.Equal(1, set.Wait(_ready.AsSpan(0, 1), TimeSpan.Zero));
    }

    [Fact]
    public void ModifyAndRemove_ChangeWhatIsReported()
    {
        using var set = new ReadinessSet(_ledger);
        set.Add(_first.Descriptor.Value, PollEvents.In, 1);
        set.Modify(_first.Descriptor.Value, PollEvents.Out, 2);
        Assert.Equal(1, set.Wait(_ready, TimeSpan.Zero));
        Assert.Equal((2ul, PollEvents.Out), _ready[0]);
        set.Remove(_first.Descriptor.Value);
        Assert.Equal(0, set.Wait(_ready, TimeSpan.Zero));
    }

    [Fact]
    public void Wait_PeerHungUp_IsReportedWithoutBeingAsked()
    {
        (UnixSocket a, UnixSocket b) = UnixSocket.CreatePair();
        using (a)
        using (var set = new ReadinessSet(_ledger))
        {
            set.Add(a.Descriptor, PollEvents.None, 5);
            b.Dispose();
            Assert.Equal(1, set.Wait(_ready, Timeout.InfiniteTimeSpan));
            Assert.Equal((5ul, PollEvents.HangUp), _ready[0]);
        }
    }

    [Fact]
    public void Control_Mistakes_NameOperationDescriptorAndError()
    {
        using var set = new ReadinessSet(_ledger);
        int first = _first.Descriptor.Value;
        set.Add(first, PollEvents.In, 1);
        var refused = Assert.Throws<SystemCallException>(() => set.Add(first, PollEvents.In, 1));
        Assert.Equal(("epoll_ctl(ADD)", $"descriptor {first}", Errno.EEXIST), (refused.Call, refused.Thing, refused.Errno));
        Assert.Equal(Errno.ENOENT, Assert.Throws<SystemCallException>(() => set.Remove(_second.Descriptor.Value)).Errno);
        Assert.Equal(Errno.ENOENT, Assert.Throws<SystemCallException>(() => set.Modify(_second.Descriptor.Value, PollEvents.In, 1)).Errno);
        using MemoryFile file = MemoryFile.Create("never ready", 1);
        Assert.Equal(Errno.EPERM, Assert.Throws<SystemCallException>(() => set.Add(file.Descriptor.Value, PollEvents.In, 1)).Errno);
        Assert.Equal("epoll_wait", Assert.Throws<SystemCallException>(() => set.Wait([], TimeSpan.Zero)).Call);
    }

    [Fact]
    public void Poll_OneDescriptor_SaysWhatHappened()
    {
        int descriptor = _first.Descriptor.Value;
        Assert.Equal(PollEvents.None, Poll.Wait(descriptor, PollEvents.In, TimeSpan.Zero));
        Assert.Equal(PollEvents.None, Poll.Wait(descriptor, PollEvents.In, TimeSpan.FromTicks(1)));
        _first.Signal();
        Assert.Equal(PollEvents.In | PollEvents.Out, Poll.Wait(descriptor, PollEvents.In | PollEvents.Out, TimeSpan.MaxValue));
        Assert.Equal(PollEvents.Invalid, Poll.Wait(int.MaxValue, PollEvents.In, Timeout.InfiniteTimeSpan));
    }

    [Fact]
    public void Poll_StopDescriptor_GoesFirst()
    {
        int descriptor = _first.Descriptor.Value;
        int stop = _second.Descriptor.Value;
        Assert.True(Poll.Wait(descriptor, PollEvents.In, stop, TimeSpan.Zero, out PollEvents happened));
        Assert.Equal(PollEvents.None, happened);
        _first.Signal();
        Assert.True(Poll.Wait(descriptor, PollEvents.In, stop, Timeout.InfiniteTimeSpan, out happened));
        Assert.Equal(PollEvents.In, happened);
        _second.Signal();
        Assert.False(Poll.Wait(descriptor, PollEvents.In, stop, Timeout.InfiniteTimeSpan, out happened));
        Assert.Equal(PollEvents.In, happened);
    }
}
