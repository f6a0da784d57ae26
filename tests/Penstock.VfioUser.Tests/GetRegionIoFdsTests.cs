using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

/// <summary>Command 6, DEVICE_GET_REGION_IO_FDS: no region has any.</summary>
public sealed class GetRegionIoFdsTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(16u, 0u)]
    [InlineData(4096u, 2u)]
    [InlineData(1u << 20, 7u)]
    public void GetRegionIoFds_Region_HasNone(uint argsz, uint index)
    {
        using WireClient client = _served.Connect();
        byte[] expected = new Payload().U32(16, 0, index, 0);
        Assert.Equal(expected, client.Call(Cmd.GetRegionIoFds, new Payload().U32(argsz, 0, index, 0)).Body);
    }

    [Theory]
    [InlineData(15u, 0u, 0u, 0u, 16)]
    [InlineData((1u << 20) + 1, 0u, 0u, 0u, 16)]
    [InlineData(16u, 1u, 0u, 0u, 16)]
    [InlineData(16u, 0u, 0u, 1u, 16)]
    [InlineData(16u, 0u, 1u, 0u, 16)]
    [InlineData(16u, 0u, 6u, 0u, 16)]
    [InlineData(16u, 0u, 8u, 0u, 16)]
    [InlineData(16u, 0u, 9u, 0u, 16)]
    [InlineData(16u, 0u, uint.MaxValue, 0u, 16)]
    [InlineData(16u, 0u, 0u, 0u, 0)]
    [InlineData(16u, 0u, 0u, 0u, 15)]
    public void GetRegionIoFds_BadFieldAbsentRegionOrShort_IsEinval(uint argsz, uint flags, uint index, uint count, int length)
    {
        using WireClient client = _served.Connect();
        byte[] body = new Payload().U32(argsz, flags, index, count);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetRegionIoFds, body[..length]));
        client.AssertAlive();
    }
}
