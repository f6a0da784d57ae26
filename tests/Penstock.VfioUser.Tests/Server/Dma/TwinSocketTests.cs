using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;
using static Penstock.VfioUser.Tests.DmaWire;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>twin_socket of VERSION: a socket of its own for the server's commands.</summary>
public sealed class TwinSocketTests : IDisposable
{
    private const string Asking = """{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":1048576,"twin_socket":{"supported":true}}}""";

    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Fact]
    public void Version_TwinAskedFor_SendsOneEndAndSaysWhich()
    {
        using WireClient client = _served.ConnectRaw();
        WireMessage reply = client.Call(Cmd.Version, WireClient.Version(1, Asking), out SafeFileHandle[] files);
        Assert.Contains("\"twin_socket\":{\"supported\":true,\"fd_index\":0}", Encoding.ASCII.GetString(reply.Body), StringComparison.Ordinal);
        using WireClient twin = WireClient.Over(Assert.Single(files));
        Assert.False(twin.HasInput);
        client.AssertAlive();
    }

    /// <summary>What waits to be sent waits with the number of a descriptor: it must not be another one's by then.</summary>
    [Fact]
    public void Version_TwinAskedForByOneWhoReadsNothing_EndsTheSession()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(4) });
        using WireClient client = served.ConnectRaw();
        for (int i = 0; i < 2000; i++)
        {
            client.SendBytes(WireClient.Message((ushort)i, Cmd.Version, [], flags: 2));
        }

        client.Send(Cmd.Version, WireClient.Version(1, Asking));
        Assert.Equal(SessionEndKind.ClientNotReading, served.NextEnd().Kind);
        served.AssertBalanced();
        using WireClient next = served.Connect();
        next.AssertAlive();
    }

    [Theory]
    [InlineData("""{"capabilities":{}}""")]
    [InlineData("""{"capabilities":{"twin_socket":{}}}""")]
    [InlineData("""{"capabilities":{"twin_socket":{"supported":false}}}""")]
    [InlineData("""{"capabilities":{"max_msg_fds":0,"twin_socket":{"supported":true}}}""")]
    [InlineData(WireClient.QemuJson)]
    public void Version_TwinNotAskedFor_HasNone(string json)
    {
        using WireClient client = _served.ConnectRaw();
        WireMessage reply = client.Call(Cmd.Version, WireClient.Version(0, json), out SafeFileHandle[] files);
        Assert.Empty(files);
        Assert.DoesNotContain("twin", Encoding.ASCII.GetString(reply.Body), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1")]
    [InlineData("true")]
    [InlineData("[]")]
    [InlineData("""{"supported":1}""")]
    [InlineData("""{"supported":"yes"}""")]
    [InlineData("""{"supported":null}""")]
    [InlineData("""{"supported":true,"fd_index":-1}""")]
    [InlineData("""{"supported":true,"fd_index":"0"}""")]
    public void Version_TwinThatIsNone_IsEinvalThenClose(string twin)
    {
        using WireClient client = _served.ConnectRaw();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.Version, WireClient.Version(0, $$$"""{"capabilities":{"twin_socket":{{{twin}}}}}""")));
        client.AssertClosed();
    }

    [Theory]
    [InlineData("""{"supported":true,"more":[1,2]}""")]
    [InlineData("""{"supported":true,"fd_index":5}""")]
    public void Version_TwinWithMore_IsTaken(string twin)
    {
        using WireClient client = _served.ConnectRaw();
        client.Call(Cmd.Version, WireClient.Version(0, $$$"""{"capabilities":{"twin_socket":{{{twin}}}}}"""), out SafeFileHandle[] files);
        Assert.Single(files);
        files.DisposeAll();
    }

    [Fact]
    public async Task Dma_GoesOverTheTwinAndTheRestOverTheOther()
    {
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            byte[] data = new byte[300_000];
            Task<Errno> read = _served.OnStrand(() => _served.DmaRead(Base, data));
            for (int done = 0; done < data.Length;)
            {
                WireMessage command = ReceiveCommand(twin, Cmd.DmaRead);
                int count = (int)command.U64(8);
                twin.Answer(command, [.. command.Body, .. Pattern(done, count)]);
                done += count;
                client.AssertAlive();
            }

            Assert.Equal(Errno.None, await read);
            Assert.Equal(Pattern(0, data.Length), data);
            Task<Errno> write = _served.OnStrand(() => _served.DmaWrite(Base, Pattern(3, 100)));
            WireMessage written = ReceiveCommand(twin, Cmd.DmaWrite);
            Assert.Equal(Pattern(3, 100), written.Body[16..]);
            twin.Answer(written, written.Body[..16]);
            Assert.Equal(Errno.None, await write);
            Assert.False(client.HasInput);
        }
    }

    /// <summary>On one socket the transfer has to wait for the reply; here the client answers it while it waits for its own.</summary>
    [Fact]
    public async Task Dma_WhileARegisterAccessWaits_IsAnsweredAtOnce()
    {
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            using var entered = new ManualResetEventSlim();
            using var leave = new ManualResetEventSlim();
            _served.Function.OnPortRead = _ =>
            {
                entered.Set();
                leave.Wait();
            };
            client.Send(Cmd.RegionRead, WireClient.Access(0, WireFunction.PortBar, 1));
            entered.Wait();
            byte[] data = new byte[16];
            Task<Errno> work = _served.Function.Port.Dma.ReadAsync(Base, data).AsTask();
            WireMessage command = ReceiveCommand(twin, Cmd.DmaRead);
            twin.Answer(command, [.. command.Body, .. Pattern(1, 16)]);
            Assert.Equal(Errno.None, await work);
            Assert.Equal(Pattern(1, 16), data);
            Assert.False(client.HasInput);
            leave.Set();
            Assert.Equal(0u, client.Receive().Error);
        }
    }

    [Fact]
    public async Task Dma_BothDirectionsAtOnce_DoNotHinderEachOther()
    {
        const int Rounds = 200;
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            byte[] data = new byte[256];
            Task<Errno> work = _served.OnStrand(() =>
                Enumerable.Range(0, Rounds).Select(_ => _served.DmaRead(Base, data)).FirstOrDefault(static e => e != Errno.None));
            var answers = new Thread(() =>
            {
                for (int i = 0; i < Rounds; i++)
                {
                    WireMessage command = ReceiveCommand(twin, Cmd.DmaRead);
                    twin.Answer(command, [.. command.Body, .. Pattern(i, 256)]);
                }
            })
            { IsBackground = true };
            answers.Start();
            for (int i = 0; i < Rounds; i++)
            {
                client.Write(0, 0, (byte)i);
                Assert.Equal([(byte)i], client.Read(0, 0, 1));
            }

            Assert.Equal(Errno.None, await work);
            answers.Join();
        }
    }

    [Fact]
    public async Task Dma_ReplyOnTheOtherSocket_IsDroppedAndTheTransferTimesOut()
    {
        using var served = new ServedFunction(new VfioUserServerOptions { PeerTimeout = TimeSpan.FromSeconds(2) });
        using WireClient client = Connect(served, out WireClient twin);
        using (twin)
        {
            Task<Errno> work = served.OnStrand(() => served.DmaRead(Base, new byte[8]));
            WireMessage command = ReceiveCommand(twin, Cmd.DmaRead);
            client.Answer(command, [.. command.Body, .. Pattern(0, 8)]);
            Assert.Equal(Errno.ETIMEDOUT, await work);
            client.AssertAlive();
        }
    }

    [Theory]
    [InlineData(0x20u, 14u, Errno.EFAULT)]
    [InlineData(0x20u, 0u, Errno.EINVAL)]
    public async Task Dma_ErrorReply_IsTheTransfersError(uint flags, uint error, Errno expected)
    {
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            Task<Errno> work = _served.OnStrand(() => _served.DmaRead(Base, new byte[8]));
            twin.Answer(ReceiveCommand(twin, Cmd.DmaRead), [], Cmd.TypeReply | flags, error);
            Assert.Equal(expected, await work);
        }
    }

    [Fact]
    public async Task ClosingTheTwin_EndsTheSessionAndItsTransfers()
    {
        using WireClient client = Connect(out WireClient twin);
        Task<Errno> work = _served.OnStrand(() => _served.DmaRead(Base, new byte[8]));
        ReceiveCommand(twin, Cmd.DmaRead);
        twin.Dispose();
        Assert.Equal(Errno.ENOTCONN, await work);
        SessionEnd end = _served.NextEnd();
        Assert.Equal(SessionEndKind.ClientClosed, end.Kind);
        Assert.Contains("twin", end.Reason, StringComparison.Ordinal);
        client.AssertClosed();
        _served.AssertBalanced();
        AssertNextWorks();
    }

    [Fact]
    public async Task ClosingTheOther_EndsTheTwinAndItsTransfers()
    {
        WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            Task<Errno> work = _served.OnStrand(() => _served.DmaRead(Base, new byte[8]));
            ReceiveCommand(twin, Cmd.DmaRead);
            client.Dispose();
            Assert.Equal(Errno.ENOTCONN, await work);
            Assert.Equal(SessionEndKind.ClientClosed, _served.NextEnd().Kind);
            twin.AssertClosed();
            _served.AssertBalanced();
        }

        AssertNextWorks();
    }

    [Fact]
    public void StoppingTheServer_EndsBoth()
    {
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            _served.Server.Stop();
            client.AssertClosed();
            twin.AssertClosed();
            Assert.Equal(SessionEndKind.Stopped, _served.NextEnd().Kind);
        }
    }

    [Theory]
    [InlineData(Cmd.GetInfo, 0u, 32u)]
    [InlineData(Cmd.RegionRead, 0x10u, 32u)]
    [InlineData(Cmd.DmaRead, 0u, 32u)]
    [InlineData(Cmd.DmaRead, 2u, 32u)]
    [InlineData(Cmd.DmaRead, 1u, 15u)]
    [InlineData(Cmd.DmaRead, 1u, uint.MaxValue)]
    public void AnythingButAReplyOnTheTwin_EndsTheSessionWithTheReason(ushort command, uint flags, uint size)
    {
        using WireClient client = Connect(out WireClient twin);
        using (twin)
        {
            twin.SendBytes([.. WireClient.Header(0, command, size, flags), .. new byte[16]]);
            SessionEnd end = _served.NextEnd();
            Assert.Equal(SessionEndKind.ProtocolViolation, end.Kind);
            Assert.Contains("twin", end.Reason, StringComparison.Ordinal);
        }

        AssertNextWorks();
    }

    [Fact]
    public async Task StrayRepliesAndDescriptorsOnTheTwin_AreDropped()
    {
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        using (read)
        using (WireClient client = Connect(out WireClient twin))
        using (twin)
        {
            for (ushort id = 0; id < 50; id++)
            {
                twin.SendBytes(WireClient.Message(id, Cmd.DmaRead, new byte[24], Cmd.TypeReply), write.Number());
            }

            write.Dispose();
            Task<Errno> work = _served.OnStrand(() => _served.DmaRead(Base, new byte[8]));
            WireMessage command = ReceiveCommand(twin, Cmd.DmaRead);
            twin.Answer(command, [.. command.Body, .. Pattern(0, 8)]);
            Assert.Equal(Errno.None, await work);
            Handles.AssertAllClosed(read);
            client.AssertAlive();
        }
    }

    [Fact]
    public void Version_TwinAskedForWithoutAReply_EndsTheSession()
    {
        using WireClient client = _served.ConnectRaw();
        client.Send(Cmd.Version, WireClient.Version(0, Asking), Cmd.NoReply);
        client.AssertClosed();
        _served.NextEnd();
        AssertNextWorks();
    }

    private WireClient Connect(out WireClient twin) => Connect(_served, out twin);

    private static WireClient Connect(ServedFunction served, out WireClient twin)
    {
        WireClient client = served.ConnectRaw();
        client.Call(Cmd.Version, WireClient.Version(0, Asking), out SafeFileHandle[] files);
        twin = WireClient.Over(Assert.Single(files));
        client.EnableDevice();
        client.Succeed(Cmd.DmaMap, WireClient.Map(Base, 4 << 20));
        return client;
    }

    private void AssertNextWorks()
    {
        using WireClient next = _served.Connect();
        next.AssertAlive();
    }
}
