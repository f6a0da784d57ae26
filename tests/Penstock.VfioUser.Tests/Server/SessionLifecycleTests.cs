using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Clients one after another on the same socket, after clean and unclean ends.</summary>
public sealed class SessionLifecycleTests
{
    [Fact]
    public void Client_ClosesBetweenMessages_IsACleanEnd()
    {
        using var served = new ServedFunction();
        for (int i = 0; i < 5; i++)
        {
            using (WireClient client = served.ConnectEnabled())
            {
                client.AssertAlive();
            }

            SessionEnd end = served.NextEnd();
            Assert.Equal(SessionEndKind.ClientClosed, end.Kind);
            Assert.True(end.IsExpected);
            served.AssertBalanced();
        }
    }

    [Theory]
    [InlineData("connected")]
    [InlineData("version")]
    [InlineData("header")]
    [InlineData("body")]
    [InlineData("megabyte")]
    [InlineData("descriptors")]
    [InlineData("maps")]
    [InlineData("eventfds")]
    [InlineData("unread")]
    [InlineData("dma")]
    public async Task Client_Vanishes_EverythingIsGivenBackAndTheNextOneWorksAtOnce(string moment)
    {
        using var served = new ServedFunction();
        Task<Errno>? dma = null;
        using (MemoryFile memory = Handles.Memory(0x4000))
        using (var e = EventDescriptor.Create())
        using (WireClient client = moment == "connected" || moment == "version" ? served.ConnectRaw() : served.ConnectEnabled())
        {
            switch (moment)
            {
                case "version":
                    client.SendBytes(WireClient.Message(0, Cmd.Version, WireClient.Version(0, "{}")).AsSpan(0, 18));
                    break;
                case "header":
                    client.SendBytes(WireClient.Header(0, Cmd.GetInfo, 32).AsSpan(0, 15));
                    break;
                case "body":
                    client.SendBytes(WireClient.Message(0, Cmd.GetInfo, new byte[16]).AsSpan(0, 31));
                    break;
                case "megabyte":
                    client.SendBytes(WireClient.Message(0, Cmd.RegionWrite, new byte[16 + Cmd.Megabyte]).AsSpan(0, 600_000));
                    break;
                case "descriptors":
                    client.SendBytes(WireClient.Message(0, Cmd.DmaMap, new byte[32]).AsSpan(0, 20), memory.Number(), memory.Number());
                    break;
                case "maps":
                    client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x4000), memory.Number());
                    client.Succeed(Cmd.DmaMap, WireClient.Map(0x10000, 0x4000));
                    break;
                case "eventfds":
                    client.Succeed(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 2, 0, 1), e.Number());
                    client.Succeed(Cmd.SetIrqs, WireClient.Irqs(4 | 32, 3, 0, 1), e.Number());
                    break;
                case "unread":
                    for (int i = 0; i < 50; i++)
                    {
                        client.Send(Cmd.RegionRead, WireClient.Access(0, 0, 4096));
                    }

                    break;
                case "dma":
                    client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x10_0000));
                    dma = served.OnStrand(() => served.DmaRead(0, new byte[0x8_0000]));
                    Assert.Equal(Cmd.DmaRead, client.Receive().Command);
                    break;
            }
        }

        using (WireClient next = served.ConnectEnabled())
        {
            next.AssertAlive();
            SessionEnd end = served.NextEnd();
            Assert.Contains(end.Kind, new[] { SessionEndKind.ClientClosed, SessionEndKind.ClientVanished });
            Assert.NotEmpty(end.Reason);
            if (dma is not null)
            {
                Assert.Equal(Errno.ENOTCONN, await dma);
            }

            // Nothing of the one before is left for the next.
            next.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x4000));
            Assert.Equal(Errno.EINVAL, next.Try(Cmd.SetIrqs, WireClient.Irqs(1 | 32, 2, 0, 1)));
            Assert.Equal(Errno.EINVAL, next.Try(Cmd.SetIrqs, WireClient.Irqs(1 | 32, 3, 0, 1)));
        }

        served.NextEnd();
        served.AssertBalanced();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(17)]
    [InlineData(100)]
    public void Client_EndsInsideAMessage_IsNamedSo(int bytes)
    {
        using var served = new ServedFunction();
        using (WireClient client = served.Connect())
        {
            client.SendBytes(WireClient.Message(0, Cmd.RegionWrite, new byte[200]).AsSpan(0, bytes));
        }

        SessionEnd end = served.NextEnd();
        Assert.Equal(SessionEndKind.ClientVanished, end.Kind);
        Assert.False(end.IsExpected);
        Assert.Contains("inside a message", end.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_WithDmaAsyncInFlight_AllOfItEndsWithEnotconn()
    {
        using var served = new ServedFunction();
        Task<Errno>[] work;
        using (WireClient client = served.ConnectEnabled())
        {
            client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x10000));
            work = [.. Enumerable.Range(0, 40).Select(i => served.Function.Port.Dma.ReadAsync((ulong)i * 16, new byte[16]).AsTask())];
            client.Receive();
        }

        Assert.All(await Task.WhenAll(work), static e => Assert.Equal(Errno.ENOTCONN, e));
        served.NextEnd();
        served.AssertBalanced();
        Assert.Equal(Errno.EACCES, served.DmaRead(0, new byte[4]));
    }

    [Fact]
    public void SecondClient_WhileOneIsServed_WaitsForItsTurn()
    {
        using var served = new ServedFunction();
        using WireClient first = served.Connect();
        using WireClient second = served.ConnectRaw();
        ushort id = second.Send(Cmd.Version, WireClient.Version(0, "{}"));
        first.AssertAlive();
        Assert.False(second.HasInput);
        first.Dispose();
        second.ReceiveReply(id, Cmd.Version);
        second.AssertAlive();
    }

    [Fact]
    public void Stop_EndsTheSessionAndTheSocket()
    {
        using var served = new ServedFunction();
        using WireClient client = served.Connect();
        served.Server.Stop();
        client.AssertClosed();
        Assert.Equal(SessionEndKind.Stopped, served.NextEnd().Kind);
        Assert.True(served.Server.Wait(TimeSpan.FromMinutes(1)));
        served.Server.Dispose();
        Assert.False(File.Exists(served.Path));
    }

    [Fact]
    public async Task Stop_WithDmaInFlight_EndsIt()
    {
        using var served = new ServedFunction();
        using WireClient client = served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000));
        Task<Errno> dma = served.OnStrand(() => served.DmaRead(0, new byte[4]));
        client.Receive();
        served.Server.Stop();
        Assert.Equal(Errno.ENOTCONN, await dma);
        Assert.Equal(SessionEndKind.Stopped, served.NextEnd().Kind);
        served.AssertBalanced();
    }

    [Fact]
    public void Once_EndsWithTheFirstClient()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { Once = true });
        served.Connect().Dispose();
        Assert.True(served.Server.Wait(TimeSpan.FromMinutes(1)));
        Assert.Equal(1, served.Server.SessionsEnded);
        served.NextEnd();
    }

    [Fact]
    public void Once_ConnectionThatSaysNothing_IsNoClient()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { Once = true });
        served.ConnectRaw().Dispose();
        served.NextEnd();
        served.Connect().Dispose();
        Assert.True(served.Server.Wait(TimeSpan.FromMinutes(1)));
        Assert.Equal(2, served.Server.SessionsEnded);
    }

    [Fact]
    public void ClientEnded_HandlerDisposesTheServer_NobodyWaitsForHimself()
    {
        using var disposed = new ManualResetEventSlim();
        ServedFunction? served = null;
        served = new ServedFunction(new VfioUserServerOptions
        {
            Once = true,
            ClientEnded = _ =>
            {
                served!.Server.Dispose();
                disposed.Set();
            },
        });
        using (served)
        {
            served.Connect().Dispose();
            Assert.True(disposed.Wait(TimeSpan.FromMinutes(1)));
        }
    }

    [Fact]
    public void Handlers_ThatThrow_EndNeitherServerNorFollowingClients()
    {
        bool fail = true;
        using var served = new ServedFunction(new VfioUserServerOptions
        {
            ClientEnded = _ => throw new InvalidOperationException("handler"),
            ClientConnected = () => _ = fail ? throw new InvalidOperationException("handler") : 0,
        });
        using (WireClient client = served.ConnectRaw())
        {
            client.Call(Cmd.Version, WireClient.Version(0, "{}"));
            client.AssertClosed();
        }

        Assert.Equal(SessionEndKind.Fault, served.NextEnd().Kind);
        fail = false;
        using WireClient next = served.Connect();
        next.AssertAlive();
    }

    [Fact]
    public void Observer_ThatThrows_IsSilencedAndTheSessionGoesOn()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { Observer = new FailingObserver() });
        using WireClient client = served.Connect();
        client.AssertAlive();
        Assert.Single(served.Log, static line => line.Contains("disk full", StringComparison.Ordinal));
    }

    [Fact]
    public void Group_BusyElsewhere_IsEbusyWithReasonAndWorksAfterwards()
    {
        using var served = new ServedFunction();
        using (VfioGroup other = served.Host.OpenGroup(served.GroupNumber, Caller.Current))
        {
            using WireClient refused = served.ConnectRaw();
            Assert.Equal(Errno.EBUSY, refused.Try(Cmd.Version, WireClient.Version(0, "{}")));
            refused.AssertClosed();
            SessionEnd end = served.NextEnd();
            Assert.Equal(SessionEndKind.Refused, end.Kind);
            Assert.NotEmpty(end.Reason);
        }

        served.AssertBalanced();
        using WireClient client = served.Connect();
        client.AssertAlive();
    }

    [Fact]
    public void ManyClients_OneAfterAnother_LeaveNothing()
    {
        using var served = new ServedFunction();
        using MemoryFile memory = Handles.Memory(0x10000);
        for (int i = 0; i < 50; i++)
        {
            using (WireClient client = served.ConnectEnabled())
            {
                client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x10000), memory.Number());
                if (i % 3 == 0)
                {
                    client.SendBytes(new byte[i % 16 + 1]);
                }
            }

            served.NextEnd();
            served.AssertBalanced();
        }

        Assert.Equal(50, served.Server.SessionsEnded);
    }

    private sealed class FailingObserver : IMessageObserver
    {
        public void OnMessage(bool fromClient, ReadOnlySpan<byte> message, int descriptors) => throw new IOException("disk full");
    }
}
