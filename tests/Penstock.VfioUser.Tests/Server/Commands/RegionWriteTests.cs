using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 10, REGION_WRITE, with the row "a 1 MiB region write loses stream sync".</summary>
public sealed class RegionWriteTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;

    public RegionWriteTests() => _client = _served.ConnectEnabled();

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    [Theory]
    [InlineData(0ul, 1)]
    [InlineData(3ul, 5)]
    [InlineData(7ul, 4096)]
    [InlineData(0ul, 512 << 10)]
    [InlineData(0ul, (1 << 20) - 1)]
    [InlineData(0ul, 1 << 20)]
    [InlineData(1ul << 20, 1 << 20)]
    [Trait("Row", "VU-F1")]
    public void Write_UpToTheAdvertisedSize_ArrivesAndTheStreamStaysInStep(ulong offset, int count)
    {
        byte[] data = new byte[count];
        new Random(count).NextBytes(data);
        _client.Write(0, offset, data);
        Assert.Equal(data, _served.Function.Storage.AsSpan((int)offset, count).ToArray());
        _client.Write(0, 0, 0x99);
        Assert.Equal(0x99, _client.Read(0, 0, 1)[0]);
    }

    [Fact]
    public void Write_AdvertisedSizeInManyPieces_IsPutTogether()
    {
        byte[] data = new byte[Cmd.Megabyte];
        new Random(5).NextBytes(data);
        byte[] message = WireClient.Message(7, Cmd.RegionWrite, [.. WireClient.Access(0, 0, Cmd.Megabyte), .. data]);
        for (int at = 0; at < message.Length; at += 40_000)
        {
            _client.SendBytes(message.AsSpan(at, Math.Min(40_000, message.Length - at)));
        }

        Assert.Equal(0u, _client.ReceiveReply(7, Cmd.RegionWrite).Error);
        Assert.Equal(data, _served.Function.Storage.AsSpan(0, Cmd.Megabyte).ToArray());
    }

    [Fact]
    [Trait("Row", "VU-F1")]
    public void Write_OnePastTheAdvertisedSize_IsEinvalThenCloseWithReason()
    {
        _client.SendBytes(WireClient.Header(3, Cmd.RegionWrite, 16 + 16 + Cmd.Megabyte + 1));
        Assert.Equal(Errno.EINVAL, (Errno)_client.ReceiveReply(3, Cmd.RegionWrite).Error);
        _client.AssertClosed();
        SessionEnd end = _served.NextEnd();
        Assert.Equal(SessionEndKind.ProtocolViolation, end.Kind);
        Assert.Contains("1048609", end.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0u, 0ul, 4u, 3)]
    [InlineData(0u, 0ul, 4u, 5)]
    [InlineData(0u, 0ul, uint.MaxValue, 4)]
    [InlineData(0u, 0ul, (1u << 20) + 1, 4)]
    [InlineData(0u, 2ul << 20, 1u, 1)]
    [InlineData(0u, ulong.MaxValue, 1u, 1)]
    [InlineData(1u, 0ul, 1u, 1)]
    [InlineData(6u, 0ul, 1u, 1)]
    [InlineData(8u, 0ul, 1u, 1)]
    [InlineData(9u, 0ul, 1u, 1)]
    [InlineData(uint.MaxValue, 0ul, 1u, 1)]
    [InlineData(uint.MaxValue, 0ul, 0u, 0)]
    public void Write_WrongLengthOrOutside_IsEinval(uint region, ulong offset, uint count, int bytes)
    {
        byte[] body = [.. WireClient.Access(offset, region, count), .. new byte[bytes]];
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.RegionWrite, body));
        _client.AssertAlive();
    }

    [Fact]
    public void Write_AcrossTheEnd_IsEinvalAndWritesNothing()
    {
        Assert.Equal(Errno.EINVAL, _client.TryWrite(0, WireFunction.StorageSize - 4, 1, 2, 3, 4, 5));
        Assert.Equal(new byte[4], _served.Function.Storage[^4..]);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    public void Write_ShortBody_IsEinval(int length) =>
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.RegionWrite, WireClient.Access(0, 0, 0)[..length]));

    [Fact]
    public void Write_Nothing_IsASuccess() => _client.Write(0, 0);

    [Fact]
    public void Write_DeviceRefuses_CarriesItsErrno()
    {
        _served.Function.OnPortWrite = static _ => Errno.EBUSY;
        Assert.Equal(Errno.EBUSY, _client.TryWrite(WireFunction.PortBar, 0, 1));
    }

    [Fact]
    public void Write_QemusRomProbe_ReadsZero()
    {
        _client.Write(Cmd.ConfigRegion, 0x30, 0x00, 0xf8, 0xff, 0xff);
        Assert.Equal(new byte[4], _client.Read(Cmd.ConfigRegion, 0x30, 4));
    }

    [Fact]
    public void Write_BarSizing_ReachesTheServer()
    {
        _client.Write(Cmd.ConfigRegion, 0x10, 0xff, 0xff, 0xff, 0xff);
        Assert.Equal([0x00, 0x00, 0xe0, 0xff], _client.Read(Cmd.ConfigRegion, 0x10, 4));
    }
}
