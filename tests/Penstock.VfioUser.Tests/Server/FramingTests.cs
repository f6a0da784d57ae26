using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>The header: sizes, types, flags, ids, and the row "an oversized message is not drained".</summary>
public sealed class FramingTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(0u)]
    [InlineData(1u)]
    [InlineData(15u)]
    [InlineData((1u << 20) + 33)]
    [InlineData(0x7fffffffu)]
    [InlineData(0x80000000u)]
    [InlineData(0xffffffffu)]
    [Trait("Row", "VU-F2")]
    public void Size_Impossible_IsEinvalThenCloseWithReason(uint size)
    {
        using WireClient client = _served.Connect();
        client.SendBytes(WireClient.Header(77, Cmd.GetInfo, size));
        Assert.Equal(Errno.EINVAL, (Errno)client.ReceiveReply(77, Cmd.GetInfo).Error);
        client.AssertClosed();
        SessionEnd end = _served.NextEnd();
        Assert.Equal(SessionEndKind.ProtocolViolation, end.Kind);
        Assert.Contains(size.ToString(System.Globalization.CultureInfo.InvariantCulture), end.Reason, StringComparison.Ordinal);
        Assert.Contains(_served.Log, line => line.Contains(end.Reason, StringComparison.Ordinal));
        _served.AssertBalanced();
        using WireClient next = _served.Connect();
        next.AssertAlive();
    }

    [Fact]
    public void Size_ImpossibleBeforeVersion_IsEinvalThenClose()
    {
        using WireClient client = _served.ConnectRaw();
        client.SendBytes(WireClient.Header(0, Cmd.Version, 3));
        Assert.Equal(Errno.EINVAL, (Errno)client.ReceiveReply(0, Cmd.Version).Error);
        client.AssertClosed();
        Assert.Equal(SessionEndKind.ProtocolViolation, _served.NextEnd().Kind);
    }

    [Fact]
    public void Size_ImpossibleNoReplyWanted_ClosesSilently()
    {
        using WireClient client = _served.Connect();
        client.SendBytes(WireClient.Header(0, Cmd.RegionWrite, 5, Cmd.NoReply));
        client.AssertClosed();
        Assert.Equal(SessionEndKind.ProtocolViolation, _served.NextEnd().Kind);
    }

    [Fact]
    public void Size_ImpossibleBehindGoodOnes_GoodOnesAreAnsweredFirst()
    {
        using WireClient client = _served.Connect();
        byte[] good = WireClient.Message(1, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0));
        client.SendBytes([.. good, .. good, .. WireClient.Header(2, 99, 7)]);
        Assert.Equal(0u, client.ReceiveReply(1, Cmd.GetInfo).Error);
        Assert.Equal(0u, client.ReceiveReply(1, Cmd.GetInfo).Error);
        Assert.Equal(Errno.EINVAL, (Errno)client.ReceiveReply(2, 99).Error);
        client.AssertClosed();
    }

    [Theory]
    [InlineData(Cmd.Version)]
    [InlineData(Cmd.DmaMap)]
    [InlineData(Cmd.DmaUnmap)]
    [InlineData(Cmd.GetInfo)]
    [InlineData(Cmd.GetRegionInfo)]
    [InlineData(Cmd.GetRegionIoFds)]
    [InlineData(Cmd.GetIrqInfo)]
    [InlineData(Cmd.SetIrqs)]
    [InlineData(Cmd.RegionRead)]
    [InlineData(Cmd.RegionWrite)]
    [Trait("Row", "VU-F7")]
    public void Size_BareHeader_IsEinvalForAllButReset(ushort command)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(command, []));
        client.AssertAlive();
    }

    [Theory]
    [InlineData(2u)]
    [InlineData(7u)]
    [InlineData(15u)]
    public void Type_NeitherCommandNorReply_IsEinval(uint type)
    {
        using WireClient client = _served.Connect();
        client.SendBytes(WireClient.Message(5, Cmd.GetInfo, new byte[16], type));
        Assert.Equal(Errno.EINVAL, (Errno)client.ReceiveReply(5, Cmd.GetInfo).Error);
        client.AssertAlive();
    }

    [Theory]
    [InlineData(Cmd.GetInfo)]
    [InlineData(Cmd.RegionRead)]
    [InlineData(Cmd.DmaRead)]
    public void Type_UnsolicitedReply_IsDroppedAndLogged(ushort command)
    {
        using WireClient client = _served.Connect();
        client.SendBytes(WireClient.Message(5, command, new byte[32], Cmd.TypeReply));
        client.AssertAlive();
        Assert.Contains(_served.Log, static line => line.Contains("nothing waits for", StringComparison.Ordinal));
    }

    [Fact]
    public void Type_ReplyBeforeVersion_IsDropped()
    {
        using WireClient client = _served.ConnectRaw();
        client.SendBytes(WireClient.Message(5, Cmd.Version, new byte[4], Cmd.TypeReply));
        Assert.Equal(0u, client.Call(Cmd.Version, WireClient.Version(0, "{}")).Error);
    }

    [Fact]
    public void Flags_ErrorBitAndErrnoInACommand_AreIgnored()
    {
        using WireClient client = _served.Connect();
        client.SendBytes(WireClient.Message(5, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0), Cmd.ErrorFlag, 99));
        WireMessage reply = client.ReceiveReply(5, Cmd.GetInfo);
        Assert.Equal((Cmd.TypeReply, 0u), (reply.Flags, reply.Error));
    }

    [Theory]
    [InlineData(Cmd.GetInfo)]
    [InlineData(Cmd.DmaUnmap)]
    [InlineData(Cmd.SetIrqs)]
    [InlineData((ushort)99)]
    public void Flags_NoReply_SilencesErrorsToo(ushort command)
    {
        using WireClient client = _served.Connect();
        client.Send(command, [1, 2, 3, 4], Cmd.NoReply);
        client.AssertAlive();
    }

    [Fact]
    public void Ids_ReusedAndAtTheEdges_AreEchoed()
    {
        using WireClient client = _served.Connect();
        foreach (ushort id in new ushort[] { 0, 0, 65535, 65535, 1, 0x8000 })
        {
            client.SendBytes(WireClient.Message(id, Cmd.Reset, []));
            client.ReceiveReply(id, Cmd.Reset);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    [InlineData(17)]
    public void Stream_CutAnywhere_IsPutTogether(int piece)
    {
        using WireClient client = _served.Connect();
        byte[] stream =
        [
            .. WireClient.Message(1, Cmd.GetInfo, new Payload().U32(16, 0, 0, 0)),
            .. WireClient.Message(2, Cmd.RegionRead, WireClient.Access(0, 7, 4)),
            .. WireClient.Message(3, Cmd.Reset, []),
        ];
        for (int at = 0; at < stream.Length; at += piece)
        {
            client.SendBytes(stream.AsSpan(at, Math.Min(piece, stream.Length - at)));
        }

        client.ReceiveReply(1, Cmd.GetInfo);
        Assert.Equal(4, client.ReceiveReply(2, Cmd.RegionRead).Body.Length - 16);
        client.ReceiveReply(3, Cmd.Reset);
    }
}
