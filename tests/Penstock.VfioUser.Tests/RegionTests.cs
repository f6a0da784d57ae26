using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>Command 9, REGION_READ.</summary>
public sealed class RegionReadTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;

    public RegionReadTests()
    {
        _client = _served.ConnectEnabled();
        new Random(1).NextBytes(_served.Function.Storage);
    }

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    [Theory]
    [InlineData(0ul, 1u)]
    [InlineData(3ul, 5u)]
    [InlineData(0ul, 8u)]
    [InlineData(1ul, 4096u)]
    [InlineData(0ul, 1u << 20)]
    [InlineData(1ul << 20, 1u << 20)]
    [InlineData((2ul << 20) - 1, 1u)]
    public void Read_InsideTheRegion_GivesItsBytesUpToTheAdvertisedSize(ulong offset, uint count) =>
        Assert.Equal(_served.Function.Storage.AsSpan((int)offset, (int)count), _client.Read(0, offset, count));

    [Theory]
    [InlineData(0u, 0ul, (1u << 20) + 1)]
    [InlineData(0u, 0ul, uint.MaxValue)]
    [InlineData(0u, 2ul << 20, 1u)]
    [InlineData(0u, (2ul << 20) - 4, 8u)]
    [InlineData(0u, ulong.MaxValue, 1u)]
    [InlineData(0u, ulong.MaxValue - 3, 8u)]
    [InlineData(1u, 0ul, 1u)]
    [InlineData(6u, 0ul, 1u)]
    [InlineData(8u, 0ul, 1u)]
    [InlineData(9u, 0ul, 1u)]
    [InlineData(uint.MaxValue, 0ul, 1u)]
    [InlineData(uint.MaxValue, 0ul, 0u)]
    [InlineData(7u, 256ul, 1u)]
    [InlineData(7u, 255ul, 2u)]
    public void Read_TooLongOrOutside_IsEinval(uint region, ulong offset, uint count)
    {
        Assert.Equal(Errno.EINVAL, _client.TryRead(region, offset, count));
        _client.AssertAlive();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(15)]
    public void Read_ShortBody_IsEinval(int length)
    {
        Assert.Equal(Errno.EINVAL, _client.Try(Cmd.RegionRead, WireClient.Access(0, 0, 4)[..length]));
        _client.AssertAlive();
    }

    [Fact]
    public void Read_Nothing_IsAnEmptySuccess() => Assert.Empty(_client.Read(0, 0, 0));

    [Fact]
    public void Read_WholeConfigSpaceInOneGo_HasTheIds() =>
        Assert.Equal([0x34, 0x12, 0x78, 0x56], _client.Read(Cmd.ConfigRegion, 0, 256)[..4]);

    [Fact]
    public void Read_MemoryDecodingOff_IsEio()
    {
        _client.Write(Cmd.ConfigRegion, 4, 0, 0);
        Assert.Equal(Errno.EIO, _client.TryRead(0, 0, 4));
    }

    [Fact]
    public void Read_ModelThrows_IsEioAndNamedInTheLog()
    {
        _served.Function.Fails = true;
        Assert.Equal(Errno.EIO, _client.TryRead(0, 0x40, 4));
        Assert.Contains(_served.Log, line => line.Contains("0x40", StringComparison.Ordinal) && line.Contains("the model has a bug", StringComparison.Ordinal));
        _served.Function.Fails = false;
        _client.Read(0, 0x40, 4);
    }

    [Fact]
    public void Read_NoReplyWanted_IsSilent()
    {
        _client.Send(Cmd.RegionRead, WireClient.Access(0, 0, 4), Cmd.NoReply);
        _client.Send(Cmd.RegionRead, WireClient.Access(0, 99, 4), Cmd.NoReply);
        _client.AssertAlive();
    }
}

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

/// <summary>REGION_WRITE with the no-reply flag, as QEMU posts writes to BARs.</summary>
public sealed class PostedWriteTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly WireClient _client;

    public PostedWriteTests() => _client = _served.ConnectEnabled();

    public void Dispose()
    {
        _client.Dispose();
        _served.Dispose();
    }

    [Fact]
    public void Post_ThenRead_SeesAllWritesInOrderAndOneReply()
    {
        for (int i = 0; i < 1000; i++)
        {
            _client.Post(0, 0, (byte)i, (byte)(i >> 8));
        }

        Assert.Equal([0xe7, 0x03], _client.Read(0, 0, 2));
        Assert.False(_client.HasInput);
    }

    [Theory]
    [InlineData(9u, 0ul)]
    [InlineData(0u, 2ul << 20)]
    [InlineData(0u, ulong.MaxValue)]
    public void Post_Bad_IsSilentAndTheSessionGoesOn(uint region, ulong offset)
    {
        _client.Post(region, offset, 1);
        _client.AssertAlive();
    }

    [Fact]
    public void Post_ShortBody_IsSilent()
    {
        _client.Send(Cmd.RegionWrite, [1, 2, 3], Cmd.NoReply);
        _client.Send(Cmd.RegionWrite, [], Cmd.NoReply);
        _client.AssertAlive();
    }

    [Fact]
    public void Post_DeviceThrows_IsSilentAndTheSessionGoesOn()
    {
        _served.Function.Fails = true;
        _client.Post(0, 0, 1);
        _client.AssertAlive();
        Assert.Contains(_served.Log, static line => line.Contains("the model has a bug", StringComparison.Ordinal));
        _served.Function.Fails = false;
    }

    [Fact]
    public void Post_AdvertisedSize_IsTakenWhole()
    {
        byte[] data = new byte[Cmd.Megabyte];
        Array.Fill(data, (byte)0xab);
        _client.Post(0, 0, data);
        Assert.Equal([0xab], _client.Read(0, Cmd.Megabyte - 1, 1));
        Assert.Equal([0x00], _client.Read(0, Cmd.Megabyte, 1));
    }
}
