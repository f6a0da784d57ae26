using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 5, DEVICE_GET_REGION_INFO.</summary>
public sealed class GetRegionInfoTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(0, 3, WireFunction.StorageSize)]
    [InlineData(1, 0, 0)]
    [InlineData(2, 3, WireFunction.PortBarSize)]
    [InlineData(3, 0, 0)]
    [InlineData(4, 3, 0x1000)]
    [InlineData(5, 0, 0)]
    [InlineData(6, 0, 0)]
    [InlineData(7, 3, 256)]
    [InlineData(8, 0, 0)]
    public void GetRegionInfo_EachIndex_IsWhatTheFunctionHas(uint index, uint flags, ulong size)
    {
        using WireClient client = _served.Connect();
        byte[] expected = new Payload().U32(32, flags, index, 0).U64(size, 0);
        Assert.Equal(expected, client.Call(Cmd.GetRegionInfo, new Payload().U32(4096, 0, index, 0).U64(0, 0)).Body);
    }

    [Theory]
    [InlineData(9u)]
    [InlineData(64u)]
    [InlineData(uint.MaxValue)]
    public void GetRegionInfo_NoSuchIndex_IsEinval(uint index)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetRegionInfo, new Payload().U32(32, 0, index, 0).U64(0, 0)));
    }

    [Theory]
    [InlineData(0u, 32)]
    [InlineData(31u, 32)]
    [InlineData(32u, 0)]
    [InlineData(32u, 31)]
    public void GetRegionInfo_TooSmall_IsEinval(uint argsz, int length)
    {
        using WireClient client = _served.Connect();
        byte[] body = new Payload().U32(argsz, 0, 0, 0).U64(0, 0);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetRegionInfo, body[..length]));
    }
}
