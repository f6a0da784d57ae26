using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 15, REGION_WRITE_MULTI, which libvfio-user does not have.</summary>
public sealed class RegionWriteMultiTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;

    public RegionWriteMultiTests() => _client = _served.ConnectEnabled();

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    /// <summary>200 is the most that QEMU's client packs, 43690 the most that a message holds.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(200)]
    [InlineData(201)]
    [InlineData(43690)]
    public void WriteMulti_ManyWrites_AreAllDoneInOrder(int count)
    {
        var body = new Payload().U64((ulong)count);
        for (int i = 0; i < count; i++)
        {
            body.Bytes(One((ulong)(i % 1000 * 4), 0, [.. BitConverter.GetBytes(i)]));
        }

        Assert.Equal((byte[])new Payload().U64((ulong)count), Succeed(body));
        for (int i = Math.Max(0, count - 1000); i < count; i++)
        {
            Assert.Equal(i, BitConverter.ToInt32(_served.Function.Storage, i % 1000 * 4));
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(4)]
    [InlineData(5)]
    [InlineData(6)]
    [InlineData(7)]
    [InlineData(8)]
    public void WriteMulti_EachLength_WritesItsBytesOnly(int length)
    {
        byte[] data = [0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        byte[] body = [.. (byte[])new Payload().U64(1), .. One(0x101, 0, data[..length], filler: 0xee)];
        Succeed(body);
        Assert.Equal([.. data[..length], .. new byte[9 - length]], _served.Function.Storage[0x101..0x10a]);
    }

    [Fact]
    public void WriteMulti_None_IsASuccess() => Assert.Equal((byte[])new Payload().U64(0), Succeed(new Payload().U64(0)));

    [Fact]
    public void WriteMulti_SeveralRegions_ReachEach()
    {
        var ports = new List<ulong>();
        _served.Function.OnPortWrite = offset =>
        {
            ports.Add(offset);
            return Errno.None;
        };
        Succeed(new Payload().U64(3).Bytes(One(8, WireFunction.PortBar, 1)).Bytes(One(0, 0, 9)).Bytes(One(4, WireFunction.PortBar, 2)));
        Assert.Equal([8ul, 4ul], ports);
        Assert.Equal(9, _served.Function.Storage[0]);
    }

    [Fact]
    public void WriteMulti_Config_IsWritten()
    {
        Succeed(new Payload().U64(1).Bytes(One(0x3c, Cmd.ConfigRegion, 0x55)));
        Assert.Equal([0x55], _client.Read(Cmd.ConfigRegion, 0x3c, 1));
    }

    [Theory]
    [InlineData(0u, 9u, 0ul)]
    [InlineData(0u, uint.MaxValue, 0ul)]
    [InlineData(0u, 1u, 2ul << 20)]
    [InlineData(0u, 8u, (2ul << 20) - 7)]
    [InlineData(0u, 4u, ulong.MaxValue - 1)]
    [InlineData(1u, 4u, 0ul)]
    [InlineData(9u, 4u, 0ul)]
    [InlineData(uint.MaxValue, 4u, 0ul)]
    public void WriteMulti_BadWriteInTheMiddle_StopsThereAndSaysHowManyWereDone(uint region, uint count, ulong offset)
    {
        byte[] bad = new Payload().U64(offset).U32(region, count).U64(0x99);
        Assert.Equal((byte[])new Payload().U64(2), Succeed(new Payload().U64(4).Bytes(One(0, 0, 1)).Bytes(One(1, 0, 2)).Bytes(bad).Bytes(One(3, 0, 4))));
        Assert.Equal([1, 2, 0, 0], _served.Function.Storage[..4]);
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.WriteMulti, new Payload().U64(2).Bytes(bad).Bytes(One(3, 0, 4))));
        Assert.Equal(0, _served.Function.Storage[3]);
        _client.AssertAlive();
    }

    [Fact]
    public void WriteMulti_DeviceRefusesTheFirst_CarriesItsErrno()
    {
        _served.Function.OnPortWrite = static _ => Errno.EBUSY;
        byte[] refused = One(0, WireFunction.PortBar, 1);
        Assert.Equal(Errno.EBUSY, _client.Try(Cmd.WriteMulti, new Payload().U64(2).Bytes(refused).Bytes(One(0, 0, 7))));
        Assert.Equal((byte[])new Payload().U64(1), Succeed(new Payload().U64(2).Bytes(One(1, 0, 8)).Bytes(refused)));
        Assert.Equal([0, 8], _served.Function.Storage[..2]);
    }

    [Theory]
    [InlineData(1ul, 0)]
    [InlineData(1ul, 23)]
    [InlineData(1ul, 25)]
    [InlineData(1ul, 48)]
    [InlineData(2ul, 24)]
    [InlineData(0ul, 24)]
    [InlineData(0ul, 1)]
    [InlineData(ulong.MaxValue, 24)]
    [InlineData((ulong.MaxValue / 24) + 1, 8)]
    public void WriteMulti_CountAndLengthDisagree_IsEinvalAndNothingIsWritten(ulong count, int bytes)
    {
        byte[] body = [.. (byte[])new Payload().U64(count), .. One(0, 0, 1, 2, 3, 4), .. One(4, 0, 1)];
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.WriteMulti, body[..(8 + bytes)]));
        Assert.Equal(new byte[8], _served.Function.Storage[..8]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(7)]
    public void WriteMulti_ShortBody_IsEinval(int length) => Assert.Equal(Errno.EINVAL, _client.Try(Cmd.WriteMulti, new byte[length]));

    [Fact]
    public void WriteMulti_Posted_HasNoReplyAlsoForErrors()
    {
        _client.Send(Cmd.WriteMulti, new Payload().U64(2).Bytes(One(0, 0, 5)).Bytes(One(1, 0, 6)), Cmd.NoReply);
        _client.Send(Cmd.WriteMulti, new Payload().U64(1).Bytes(One(ulong.MaxValue, 0, 5)), Cmd.NoReply);
        _client.Send(Cmd.WriteMulti, new Payload().U64(7), Cmd.NoReply);
        _client.AssertAlive();
        Assert.Equal([5, 6], _served.Function.Storage[..2]);
    }

    [Theory]
    [InlineData("""{"capabilities":{}}""")]
    [InlineData("""{"capabilities":{"write_multiple":false}}""")]
    public void WriteMulti_NotAgreed_IsEinvalAndNotOffered(string json)
    {
        _client.Dispose();
        using WireClient plain = _served.ConnectRaw();
        WireMessage version = plain.Call(Cmd.Version, WireClient.Version(0, json));
        Assert.DoesNotContain("write_multiple", System.Text.Encoding.ASCII.GetString(version.Body), StringComparison.Ordinal);
        plain.EnableDevice();
        Assert.Equal(Errno.EINVAL, plain.Try(Cmd.WriteMulti, new Payload().U64(1).Bytes(One(0, 0, 5))));
        Assert.Equal(0, _served.Function.Storage[0]);
    }

    [Fact]
    public void WriteMulti_Agreed_IsInTheReply()
    {
        _client.Dispose();
        using WireClient other = _served.ConnectRaw();
        WireMessage version = other.Call(Cmd.Version, WireClient.Version(0, WireClient.QemuJson));
        Assert.Contains("\"write_multiple\":true", System.Text.Encoding.ASCII.GetString(version.Body), StringComparison.Ordinal);
    }

    private static byte[] One(ulong offset, uint region, params byte[] data) => One(offset, region, data, 0);

    private static byte[] One(ulong offset, uint region, byte[] data, byte filler)
    {
        byte[] room = new byte[8];
        Array.Fill(room, filler);
        data.CopyTo(room, 0);
        return new Payload().U64(offset).U32(region, (uint)data.Length).Bytes(room);
    }

    private byte[] Succeed(byte[] body)
    {
        WireMessage reply = _client.Call(Cmd.WriteMulti, body);
        Assert.Equal(0u, reply.Error);
        return reply.Body;
    }
}
