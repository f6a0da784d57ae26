using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

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
        Assert.Equal(_served.Function.Storage.AsSpan((int)offset, (int)count).ToArray(), _client.Read(0, offset, count));

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
