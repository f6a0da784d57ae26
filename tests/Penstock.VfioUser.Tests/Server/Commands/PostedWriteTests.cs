using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

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
    [Trait("Row", "VU-F1")]
    public void Post_AdvertisedSize_IsTakenWhole()
    {
        byte[] data = new byte[Cmd.Megabyte];
        Array.Fill(data, (byte)0xab);
        _client.Post(0, 0, data);
        Assert.Equal([0xab], _client.Read(0, Cmd.Megabyte - 1, 1));
        Assert.Equal([0x00], _client.Read(0, Cmd.Megabyte, 1));
    }
}
