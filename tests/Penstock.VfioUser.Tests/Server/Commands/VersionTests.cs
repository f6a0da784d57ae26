using System.Text;
using System.Text.Json;
using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 1, VERSION, and the row "VERSION with a descriptor".</summary>
public sealed class VersionTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(0, 0)]
    [InlineData(1, 1)]
    [InlineData(2, 1)]
    [InlineData(65535, 1)]
    public void Version_Minor_IsTheSmallerOfBoth(ushort asked, ushort agreed)
    {
        using WireClient client = _served.ConnectRaw();
        WireMessage reply = client.Call(Cmd.Version, WireClient.Version(asked, "{}"));
        Assert.Equal((uint)agreed << 16, reply.U32(0));
        client.AssertAlive();
    }

    [Fact]
    public void Version_QemusRequest_ReplyIsNoLongerAndWithinWhatQemuAccepts()
    {
        using WireClient client = _served.ConnectRaw();
        byte[] request = WireClient.Version(0, WireClient.QemuJson);
        WireMessage reply = client.Call(Cmd.Version, request);
        Assert.InRange(reply.Body.Length, 6, request.Length);
        Assert.Equal(0u, reply.U32(0));
        Assert.Equal(0, reply.Body[^1]);
        using JsonDocument json = JsonDocument.Parse(Encoding.UTF8.GetString(reply.Body.AsSpan(4, reply.Body.Length - 5)));
        JsonElement capabilities = json.RootElement.GetProperty("capabilities");
        Assert.InRange(capabilities.GetProperty("max_msg_fds").GetInt32(), 1, 16);
        Assert.Equal(1048576, capabilities.GetProperty("max_data_xfer_size").GetInt32());
        Assert.InRange(capabilities.GetProperty("max_dma_maps").GetInt32(), 1, 65535);
        Assert.Equal(0, capabilities.GetProperty("pgsizes").GetInt64() % 4096);
        Assert.False(capabilities.TryGetProperty("twin_socket", out _));
        Assert.True(capabilities.GetProperty("write_multiple").GetBoolean());
        Assert.False(capabilities.TryGetProperty("sparse_mmap_fds", out _));
    }

    [Fact]
    public void Version_HostWithFewerMaps_SaysSo()
    {
        using var few = new ServedFunction(mappingLimit: 7);
        using WireClient client = few.ConnectRaw();
        WireMessage reply = client.Call(Cmd.Version, WireClient.Version(0, "{}"));
        Assert.Contains("\"max_dma_maps\":7,", Encoding.UTF8.GetString(reply.Body), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("{\"capabilities\":{}}")]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":0,\"max_data_xfer_size\":1}}")]
    [InlineData("{\"capabilities\":{\"unknown\":[1,{\"a\":2}]},\"other\":3}")]
    [InlineData("{\"capabilities\":{\"migration\":{\"pgsize\":4096,\"max_bitmap_size\":1}}}")]
    [InlineData("{\"capabilities\":{\"max_dma_maps\":18446744073709551615,\"pgsizes\":18446744073709551615}}")]
    [InlineData(" { \"capabilities\" : { } } ")]
    public void Version_AcceptableJson_IsAnswered(string json)
    {
        using WireClient client = _served.Connect(json);
        client.AssertAlive();
    }

    [Fact]
    public void Version_WithoutJson_IsAnswered()
    {
        using WireClient client = _served.ConnectRaw();
        Assert.Equal(0u, client.Call(Cmd.Version, new Payload().U16(0, 0)).Error);
        client.AssertAlive();
    }

    [Theory]
    [InlineData("")]
    [InlineData("x")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{")]
    [InlineData("{} {}")]
    [InlineData("{}x")]
    [InlineData("{\"capabilities\":[]}")]
    [InlineData("{\"capabilities\":7}")]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":\"8\"}}")]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":-1}}")]
    [InlineData("{\"capabilities\":{\"max_msg_fds\":1.5}}")]
    [InlineData("{\"capabilities\":{\"max_data_xfer_size\":0}}")]
    [InlineData("{\"capabilities\":{\"max_data_xfer_size\":true}}")]
    [InlineData("{\"capabilities\":{\"max_dma_maps\":null}}")]
    [InlineData("{\"capabilities\":{\"pgsizes\":{}}}")]
    [InlineData("{\"capabilities\":{\"write_multiple\":1}}")]
    [InlineData("{\"a\":[[[[[[[[[[1]]]]]]]]]]}")]
    public void Version_BadJson_IsEinvalThenCloseWithReason(string json)
    {
        using WireClient client = _served.ConnectRaw();
        AssertRefused(client, WireClient.Version(0, json));
    }

    [Theory]
    [InlineData(new byte[0])]
    [InlineData(new byte[] { 0 })]
    [InlineData(new byte[] { 0, 0, 0 })]
    [InlineData(new byte[] { 1, 0, 0, 0 })]
    [InlineData(new byte[] { 0, 1, 0, 0 })]
    [InlineData(new byte[] { 0, 0, 0, 0, (byte)'{', (byte)'}' })]
    [InlineData(new byte[] { 0, 0, 0, 0, 0xff, 0xfe, 0 })]
    [InlineData(new byte[] { 0, 0, 0, 0, (byte)'{', (byte)'"', 0xff, (byte)'"', (byte)':', (byte)'1', (byte)'}', 0, 1 })]
    public void Version_ShortBodyWrongMajorOrNoNul_IsEinvalThenClose(byte[] body)
    {
        using WireClient client = _served.ConnectRaw();
        AssertRefused(client, body);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(10)]
    [InlineData(13)]
    [InlineData(999)]
    public void FirstCommand_OtherThanVersion_IsEinvalThenClose(ushort command)
    {
        using WireClient client = _served.ConnectRaw();
        Assert.Equal(Errno.EINVAL, client.Try(command, new byte[32]));
        client.AssertClosed();
        Assert.Equal(SessionEndKind.ProtocolViolation, _served.NextEnd().Kind);
    }

    [Fact]
    public void Version_Twice_IsEinvalAndTheSessionGoesOn()
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.Version, WireClient.Version(0, "{}")));
        client.AssertAlive();
    }

    [Fact]
    [Trait("Row", "VU-F8")]
    public void Version_WithDescriptor_IsAnsweredAndTheDescriptorClosed()
    {
        using WireClient client = _served.ConnectRaw();
        (var read, var write) = Handles.Pipe();
        using (read)
        {
            using (write)
            {
                Assert.Equal(0u, client.Call(Cmd.Version, WireClient.Version(0, "{}"), write.Number()).Error);
            }

            client.AssertAlive();
            Handles.AssertAllClosed(read);
        }
    }

    [Fact]
    public void Version_NoReplyWanted_NegotiatesSilently()
    {
        using WireClient client = _served.ConnectRaw();
        client.Send(Cmd.Version, WireClient.Version(0, "{}"), Cmd.NoReply);
        client.AssertAlive();
    }

    private void AssertRefused(WireClient client, byte[] body)
    {
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.Version, body));
        client.AssertClosed();
        SessionEnd end = _served.NextEnd();
        Assert.Equal(SessionEndKind.ProtocolViolation, end.Kind);
        Assert.Contains(_served.Log, line => line.Contains(end.Reason, StringComparison.Ordinal));
        _served.AssertBalanced();
    }
}
