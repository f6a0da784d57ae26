using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 7, DEVICE_GET_IRQ_INFO.</summary>
public sealed class GetIrqInfoTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(0, 7, 1)]
    [InlineData(1, 9, 4)]
    [InlineData(2, 1, WireFunction.Vectors)]
    [InlineData(3, 9, 1)]
    [InlineData(4, 9, 1)]
    public void GetIrqInfo_EachIndex_IsWhatTheFunctionHas(uint index, uint flags, uint count)
    {
        using WireClient client = _served.Connect();
        byte[] expected = new Payload().U32(16, flags, index, count);
        Assert.Equal(expected, client.Call(Cmd.GetIrqInfo, new Payload().U32(16, 0, index, 0)).Body);
    }

    [Theory]
    [InlineData(16u, 5u, 16)]
    [InlineData(16u, uint.MaxValue, 16)]
    [InlineData(15u, 0u, 16)]
    [InlineData(16u, 0u, 0)]
    [InlineData(16u, 0u, 15)]
    public void GetIrqInfo_NoSuchIndexOrTooSmall_IsEinval(uint argsz, uint index, int length)
    {
        using WireClient client = _served.Connect();
        byte[] body = new Payload().U32(argsz, 0, index, 0);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetIrqInfo, body[..length]));
    }
}
