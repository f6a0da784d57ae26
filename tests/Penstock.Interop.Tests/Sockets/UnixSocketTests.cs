namespace Penstock.Interop.Tests.Sockets;

public sealed class UnixSocketTests : IDisposable
{
    private readonly ResourceLedger _ledger = new();
    private readonly UnixSocket _first;
    private readonly UnixSocket _second;

    public UnixSocketTests() => (_first, _second) = UnixSocket.CreatePair(_ledger);

    public void Dispose()
    {
        _first.Dispose();
        _second.Dispose();
        Assert.Equal("nothing", _ledger.ToString());
    }

    [Fact]
    public void CreatePair_BothEnds_AreCloseOnExecAndCounted()
    {
        Assert.True(Libc.IsCloseOnExec(_first.Descriptor) && Libc.IsCloseOnExec(_second.Descriptor));
        Assert.Equal(2, _ledger.Outstanding(ResourceKind.Descriptor));
    }

    [Fact]
    public void Send_PeerGone_IsABrokenPipeAndNoSignal()
    {
        _second.Dispose();
        var refused = Assert.Throws<SystemCallException>(() => _first.Send([1]));
        Assert.Equal(("sendmsg", Errno.EPIPE), (refused.Call, refused.Errno));
        Assert.Equal(Errno.EPIPE, _first.TrySend([1], out int sent));
        Assert.Equal(0, sent);
    }

    [Fact]
    public void Send_DescriptorThatIsNotOpen_IsRefusedAndNothingIsSent()
    {
        var gone = new OwnedDescriptor(Libc.Pipe().Read.Take());
        int number = gone.Value;
        Assert.Equal(Errno.EBADF, Assert.Throws<SystemCallException>(() => _first.Send([1], [number, int.MaxValue])).Errno);
        gone.Dispose();
        Assert.Equal(PollEvents.None, Poll.Wait(_second.Descriptor, PollEvents.In, TimeSpan.Zero));
    }

    [Fact]
    public void Send_NothingAtAll_IsRefused() => Assert.Throws<ArgumentOutOfRangeException>(() => _first.Send([]));

    [Fact]
    public void TrySend_PeerThatDoesNotRead_TakesPartAndThenNothing()
    {
        byte[] big = new byte[8 << 20];
        Assert.Equal(Errno.None, _first.TrySend(big, out int sent));
        Assert.InRange(sent, 1, big.Length - 1);
        Errno errno;
        while ((errno = _first.TrySend(big, out _)) == Errno.None)
        {
        }

        Assert.Equal(Errno.EAGAIN, errno);
    }

    [Fact]
    public void Shutdown_RacingWithDispose_TouchesNoOtherDescriptor()
    {
        const int Rounds = 300;
        for (int i = 0; i < Rounds; i++)
        {
            (UnixSocket a, UnixSocket b) = UnixSocket.CreatePair();
            using var start = new Barrier(2);
            BackgroundThread thread = BackgroundThread.Start(() =>
            {
                start.SignalAndWait();
                a.Shutdown();
                a.Shutdown();
            });
            start.SignalAndWait();
            a.Dispose();

            // Likely to get the number that was closed.
            (UnixSocket c, UnixSocket d) = UnixSocket.CreatePair();
            thread.Join();
            c.Send([1]);
            Assert.Equal(Errno.None, d.TrySend([1], out _));
            b.Dispose();
            c.Dispose();
            d.Dispose();
        }
    }

    [Fact]
    public void Receive_WhileTheCollectorStopsTheThread_KeepsTheErrorOfTheCall()
    {
        // The call leaves errno where it is; collections stop the thread on its way back from the call.
        using var receiver = new FramedReceiver(_second, Frames.Format);
        using var done = new ManualResetEventSlim();
        BackgroundThread collector = BackgroundThread.Start(() =>
        {
            while (!done.IsSet)
            {
                GC.Collect(0, GCCollectionMode.Forced, blocking: true);
            }
        });
        ReceiveStatus status = ReceiveStatus.WouldBlock;
        for (int i = 0; i < 50_000 && status == ReceiveStatus.WouldBlock; i++)
        {
            status = receiver.Receive(false, out _);
        }

        done.Set();
        collector.Join();
        Assert.Equal(ReceiveStatus.WouldBlock, status);
    }
}
