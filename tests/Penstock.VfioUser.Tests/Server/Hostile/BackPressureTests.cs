using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Clients that send faster than they read, or do not read at all.</summary>
public sealed class BackPressureTests
{
    private const int Commands = 100_000;
    private const uint Data = 256;
    private const int ReplyLength = 16 + 16 + (int)Data;

    // Longer than a busy machine lets a server wait that would go on reading.
    private static readonly TimeSpan HeldBack = TimeSpan.FromSeconds(5);

    [Fact]
    public void Pipelined_WithoutReading_IsHeldBackThenAllIsAnsweredInOrder()
    {
        // Kept by the server, plus one reply, plus what lies in both directions of the socket and its receive buffer.
        const int MostUnanswered = ((4 << 20) + (4 << 20)) / ReplyLength + (4 << 20) / 32;
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(60) });
        using WireClient client = served.ConnectEnabled();
        var sender = new Pipeline(client);
        sender.SendUntilHeldBack(atLeast: 1000);
        Assert.InRange(sender.Sent, 1000, MostUnanswered);
        for (int i = 0; i < Commands; i++)
        {
            sender.SendWhatFits();
            WireMessage reply = client.ReceiveReply((ushort)i, Cmd.RegionRead);
            Assert.Equal(ReplyLength, (int)reply.Size);
        }

        Assert.Equal(Commands, sender.Sent);
        client.AssertAlive();
    }

    [Fact]
    public void BadMessageBehindUnreadReplies_AllOfThemStillArrive()
    {
        using var served = new ServedFunction();
        using WireClient client = served.ConnectEnabled();
        for (int i = 0; i < 3; i++)
        {
            client.Send(Cmd.RegionRead, WireClient.Access(0, 0, Cmd.Megabyte));
        }

        client.SendBytes(WireClient.Header(99, Cmd.GetInfo, 15));
        for (int i = 0; i < 3; i++)
        {
            Assert.Equal(32u + Cmd.Megabyte, client.Receive().Size);
        }

        Assert.Equal(Errno.EINVAL, (Errno)client.ReceiveReply(99, Cmd.GetInfo).Error);
        client.AssertClosed();
        Assert.Equal(SessionEndKind.ProtocolViolation, served.NextEnd().Kind);
    }

    [Fact]
    public void NeverReading_IsDisconnectedWithTheReasonAndTheNextOneWorks()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(2) });
        using WireClient client = served.ConnectEnabled();
        new Pipeline(client).SendUntilSentAway();
        SessionEnd end = served.NextEnd();
        Assert.Equal(SessionEndKind.ClientNotReading, end.Kind);
        Assert.Contains("read nothing for 2 s", end.Reason, StringComparison.Ordinal);
        served.AssertBalanced();
        using WireClient next = served.Connect();
        next.AssertAlive();
    }

    [Fact]
    public async Task NeverReading_DmaWrites_TimeOutAndEndTheSession()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(2) });
        using WireClient client = served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 4 << 20));
        byte[] data = new byte[128 * 1024];
        Task<Errno>[] work = [.. Enumerable.Range(0, 20).Select(i => served.Function.Port.Dma.WriteAsync((ulong)i << 17, data).AsTask())];
        Assert.All(await Task.WhenAll(work), static e => Assert.Contains(e, new[] { Errno.ETIMEDOUT, Errno.ENOTCONN }));
        Assert.Equal(SessionEndKind.ClientNotReading, served.NextEnd().Kind);
        served.AssertBalanced();
    }

    [Fact]
    public void ReadingLate_AfterManyPostedWrites_NothingIsLost()
    {
        using var served = new ServedFunction();
        using WireClient client = served.ConnectEnabled();
        byte[] block = new byte[65536];
        for (int i = 0; i < 200; i++)
        {
            block[0] = (byte)i;
            client.Post(0, 0, block);
        }

        Assert.Equal(199, client.Read(0, 0, 1)[0]);
    }

    /// <summary>Sends reads without ever blocking.</summary>
    private sealed class Pipeline(WireClient client)
    {
        private byte[] _message = [];
        private int _at;

        public int Sent { get; private set; }

        /// <summary>So much goes out before the server holds anybody back: until then it is only slow.</summary>
        public void SendUntilHeldBack(int atLeast)
        {
            while (SendWhatFits() && Sent < Commands)
            {
                bool slow = Sent < atLeast;
                if (Poll.Wait(client.Descriptor, PollEvents.Out, slow ? Patient.Time : HeldBack) == PollEvents.None)
                {
                    Assert.False(slow, $"no room after {Sent} commands");
                    break;
                }
            }
        }

        public void SendUntilSentAway()
        {
            while (SendWhatFits())
            {
                Assert.InRange(Sent, 0, Commands - 1);
                Assert.NotEqual(PollEvents.None, Poll.Wait(client.Descriptor, PollEvents.Out, Patient.Time));
            }
        }

        /// <summary>Sends until there is no room at the moment, which is true, or nobody who would read it.</summary>
        public bool SendWhatFits()
        {
            while (Sent < Commands)
            {
                if (_at == _message.Length)
                {
                    _message = WireClient.Message((ushort)Sent, Cmd.RegionRead, WireClient.Access(0, 0, Data));
                    _at = 0;
                }

                _at += client.TrySendBytes(_message.AsSpan(_at), out Errno errno);
                if (errno != Errno.None)
                {
                    Assert.Contains(errno, new[] { Errno.EAGAIN, Errno.EPIPE, Errno.ECONNRESET });
                    return errno == Errno.EAGAIN;
                }

                if (_at == _message.Length)
                {
                    Sent++;
                }
            }

            return true;
        }
    }
}
