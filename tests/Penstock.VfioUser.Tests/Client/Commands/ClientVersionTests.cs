using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>VERSION in the client's role.</summary>
public sealed class ClientVersionTests
{
    [Fact]
    public void Request_SaysWhatTheClientTakes() => FakeServer.Run(
        static server =>
        {
            server.Accept();
            WireMessage version = server.Expect(Cmd.Version);
            Assert.Equal((0, 1), (BitConverter.ToUInt16(version.Body), BitConverter.ToUInt16(version.Body, 2)));
            Assert.Equal(0, version.Body[^1]);
            string json = Encoding.UTF8.GetString(version.Body, 4, version.Body.Length - 5);
            Assert.Contains("\"max_msg_fds\":16", json, StringComparison.Ordinal);
            Assert.Contains("\"max_data_xfer_size\":1048576", json, StringComparison.Ordinal);
            Assert.Contains("\"write_multiple\":true", json, StringComparison.Ordinal);
            Assert.Contains("\"twin_socket\":{\"supported\":true}", json, StringComparison.Ordinal);
            Assert.DoesNotContain("fd_index", json, StringComparison.Ordinal);
            server.Reply(version, WireClient.Version(0, "{}"));
        },
        static (path, ledger) => VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger }).Dispose());

    [Fact]
    public void Request_WithoutTwin_DoesNotAskForOne() => FakeServer.Run(
        static server =>
        {
            server.Accept();
            WireMessage version = server.Expect(Cmd.Version);
            Assert.DoesNotContain("twin", Encoding.UTF8.GetString(version.Body), StringComparison.Ordinal);
            server.Reply(version, WireClient.Version(0, "{}"));
        },
        static (path, ledger) => VfioUserClient.Connect(path, Patient.NoTwin with { Ledger = ledger }).Dispose());

    [Theory]
    [InlineData(null, 1, 1 << 20, 65535, 4096ul, false)]
    [InlineData("{}", 1, 1 << 20, 65535, 4096ul, false)]
    [InlineData("""{"capabilities":{}}""", 1, 1 << 20, 65535, 4096ul, false)]
    [InlineData("""{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":4096,"max_dma_maps":3,"pgsizes":65536}}""", 8, 4096, 3, 65536ul, false)]
    [InlineData("""{"capabilities":{"max_msg_fds":1000,"max_data_xfer_size":16777216,"write_multiple":true}}""", 253, 1 << 20, 65535, 4096ul, true)]
    [InlineData("""{"capabilities":{"max_msg_fds":0,"something":{"else":[1,2]}},"more":7}""", 0, 1 << 20, 65535, 4096ul, false)]
    public void Reply_Limits_AreKept(string? json, int descriptors, int transfer, int maps, ulong pages, bool writes) => Negotiate(
        json is null ? new Payload().U16(0, 1) : WireClient.Version(1, json),
        client =>
        {
            PeerLimits limits = client.ServerLimits;
            Assert.Equal((descriptors, transfer, maps, pages, writes), (limits.MaximumDescriptors, limits.MaximumTransfer, limits.MaximumDmaMaps, limits.PageSizes, limits.WriteMultiple));
        });

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void Reply_Minor_IsUsed(ushort minor) => Negotiate(WireClient.Version(minor, "{}"), client => Assert.Equal(new Version(0, minor), client.Version));

    [Theory]
    [InlineData("")]
    [InlineData("00")]
    [InlineData("000000")]
    public void Reply_TooShort_IsRefused(string hex) => Refused(Convert.FromHexString(hex));

    [Fact]
    public void Reply_OtherMajor_IsRefused() => Refused(new Payload().U16(1, 0));

    [Fact]
    public void Reply_HigherMinorThanOurs_IsRefused() => Refused(new Payload().U16(0, 2));

    [Theory]
    [InlineData("{\"capabilities\":{}}", false)]
    [InlineData("{", true)]
    [InlineData("[]", true)]
    [InlineData("nonsense", true)]
    [InlineData("{\"capabilities\":5}", true)]
    [InlineData("{\"capabilities\":[]}", true)]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":-1}}", true)]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":\"1\"}}", true)]
    [InlineData("{\"capabilities\":{\"max_data_xfer_size\":0}}", true)]
    [InlineData("{\"capabilities\":{\"max_data_xfer_size\":1.5}}", true)]
    [InlineData("{\"capabilities\":{\"max_dma_maps\":0}}", true)]
    [InlineData("{\"capabilities\":{\"pgsizes\":0}}", true)]
    [InlineData("{\"capabilities\":{\"write_multiple\":1}}", true)]
    [InlineData("{\"capabilities\":{\"twin_socket\":true}}", true)]
    [InlineData("{\"capabilities\":{\"twin_socket\":{\"supported\":1}}}", true)]
    [InlineData("{\"capabilities\":{}} more", true)]
    [InlineData("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}}", true)]
    public void Reply_BadText_IsRefused(string json, bool ends) => Refused(new Payload().U16(0, 0).Text(json).Bytes(ends ? [0] : []));

    [Fact]
    public void Reply_LongerThanAnyVersion_IsRefused() => Refused(WireClient.Version(0, "{\"x\":\"" + new string('x', 5000) + "\"}"));

    [Fact]
    public void Reply_Error_IsTheServers() => FakeServer.Run(
        static server =>
        {
            server.Accept();
            server.Refuse(server.Expect(Cmd.Version), Errno.EBUSY);
        },
        static (path, ledger) => Assert.Equal(Errno.EBUSY, Assert.Throws<VfioException>(() => VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger })).Errno));

    [Fact]
    public void Reply_Never_IsEtimedout() => FakeServer.Run(
        static server =>
        {
            server.Accept();
            server.AwaitEnd();
        },
        static (path, ledger) => Assert.Equal(
            Errno.ETIMEDOUT,
            Assert.Throws<VfioException>(() => VfioUserClient.Connect(path, new VfioUserClientOptions { Ledger = ledger, ReplyTime = TimeSpan.FromMilliseconds(50) })).Errno));

    [Fact]
    public void Connect_NobodyAccepts_EndsInTime() => FakeServer.Run(
        static _ => { },
        static (path, ledger) =>
        {
            // The queue of the listener is full after a few; the kernel would let the next one wait for ever.
            var options = new VfioUserClientOptions { Ledger = ledger, ConnectTime = TimeSpan.FromMilliseconds(50), ReplyTime = TimeSpan.FromMilliseconds(50) };
            var waiting = new List<UnixSocket>();
            SystemCallException? full = null;
            while (full is null && waiting.Count < 1000)
            {
                try
                {
                    waiting.Add(UnixSocket.Connect(path, options.ConnectTime));
                }
                catch (SystemCallException e)
                {
                    full = e;
                }
            }

            Assert.Equal(Errno.EAGAIN, full?.Errno);
            Assert.Equal(Errno.EAGAIN, Assert.Throws<SystemCallException>(() => VfioUserClient.Connect(path, options)).Errno);
            waiting.DisposeAll();
        });

    [Fact]
    public void Connect_NobodyListens_SaysSo() => Assert.Equal(
        Errno.ENOENT,
        Assert.Throws<SystemCallException>(() => VfioUserClient.Connect(Path.Combine(Path.GetTempPath(), Guid.NewGuid().ToString("n")))).Errno);

    [Theory]
    [InlineData("""{"capabilities":{"twin_socket":{"supported":true}}}""", 0)]
    [InlineData("""{"capabilities":{"twin_socket":{"supported":true,"fd_index":1}}}""", 1)]
    public void Twin_Given_IsUsed(string json, int index) => FakeServer.Run(
        server =>
        {
            (UnixSocket own, UnixSocket theirs) = UnixSocket.CreatePair();
            (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
            using (own)
            using (read)
            {
                server.Negotiate(json, index == 0 ? [theirs.Descriptor, write.Number()] : [write.Number(), theirs.Descriptor]);
                theirs.Dispose();
                write.Dispose();
                Handles.AssertAllClosed(read);
                own.Send(WireClient.Message(7, Cmd.DmaRead, new Payload().U64(0x1000, 4)));
                using var receiver = new FramedReceiver(own, new FrameFormat(16, 4, Cmd.Megabyte));
                Assert.Equal(ReceiveStatus.Message, receiver.Receive(wait: true, out Span<byte> answer));
                Assert.Equal(WireClient.Message(7, Cmd.DmaRead, [], Cmd.TypeReply | Cmd.ErrorFlag, (uint)Errno.EFAULT), answer.ToArray());
                server.Reply(server.Expect(Cmd.Reset), []);
                server.AwaitEnd();
            }
        },
        static (path, ledger) =>
        {
            using var client = VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger });
            Assert.True(client.HasTwinSocket);
            client.Reset();
        });

    [Fact]
    public void Twin_WithoutDescriptor_IsRefused() => Refused(WireClient.Version(0, """{"capabilities":{"twin_socket":{"supported":true}}}"""));

    [Fact]
    public void Twin_IndexBeyondTheDescriptors_IsRefused() => RefusedWithAPipe("""{"capabilities":{"twin_socket":{"supported":true,"fd_index":1}}}""");

    [Fact]
    public void Twin_NoSocket_IsRefused() => RefusedWithAPipe("""{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}""");

    [Fact]
    public void Twin_NotAskedFor_IsIgnored()
    {
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        using (read)
        {
            FakeServer.Run(
                server =>
                {
                    server.Negotiate("""{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}""", write.Number());
                    write.Dispose();
                    Handles.AssertAllClosed(read);
                },
                static (path, ledger) =>
                {
                    using var client = VfioUserClient.Connect(path, Patient.NoTwin with { Ledger = ledger });
                    Assert.False(client.HasTwinSocket);
                });
        }
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Twin_BrokenByTheServer_EndsTheConnection(bool byReply) => FakeServer.Run(
        server =>
        {
            (UnixSocket own, UnixSocket theirs) = UnixSocket.CreatePair();
            server.Negotiate("""{"capabilities":{"twin_socket":{"supported":true,"fd_index":0}}}""", theirs.Descriptor);
            theirs.Dispose();
            if (byReply)
            {
                own.Send(WireClient.Message(7, Cmd.DmaRead, [], Cmd.TypeReply));
                server.AwaitEnd();
            }

            own.Dispose();
            server.AwaitEnd();
        },
        static (path, ledger) =>
        {
            using var client = VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger });
            Handles.Await(() => client.Failure is not null, "the end of the twin");
            Assert.Equal(Errno.ENOTCONN, Assert.Throws<VfioException>(client.Reset).Errno);
        });

    private static void Negotiate(byte[] reply, Action<VfioUserClient> use) => FakeServer.Run(
        server =>
        {
            server.Accept();
            server.Reply(server.Expect(Cmd.Version), reply);
        },
        (path, ledger) =>
        {
            using var client = VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger });
            use(client);
        });

    private static void Refused(byte[] reply, params int[] descriptors) => FakeServer.Run(
        server =>
        {
            server.Accept();
            server.Reply(server.Expect(Cmd.Version), reply, descriptors: descriptors);
            server.AwaitEnd();
        },
        static (path, ledger) => Assert.Equal(
            Errno.EPROTO, Assert.Throws<VfioException>(() => VfioUserClient.Connect(path, Patient.Client with { Ledger = ledger })).Errno));

    private static void RefusedWithAPipe(string json)
    {
        (SafeFileHandle read, SafeFileHandle write) = Handles.Pipe();
        using (read)
        {
            Refused(WireClient.Version(0, json), write.Number());
            write.Dispose();
            Handles.AssertAllClosed(read);
        }
    }
}
