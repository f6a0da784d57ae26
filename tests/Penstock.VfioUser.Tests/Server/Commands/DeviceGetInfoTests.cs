using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 4, DEVICE_GET_INFO.</summary>
public sealed class DeviceGetInfoTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(16u)]
    [InlineData(17u)]
    [InlineData(uint.MaxValue)]
    public void GetInfo_IsResetPlusPciWithNineRegionsAndFiveInterrupts(uint argsz)
    {
        using WireClient client = _served.Connect();
        byte[] expected = new Payload().U32(16, 3, 9, 5);
        Assert.Equal(expected, client.Call(Cmd.GetInfo, new Payload().U32(argsz, 0, 0, 0)).Body);
    }

    [Theory]
    [InlineData(0u, 16)]
    [InlineData(15u, 16)]
    [InlineData(16u, 0)]
    [InlineData(16u, 4)]
    [InlineData(16u, 15)]
    public void GetInfo_TooSmall_IsEinval(uint argsz, int length)
    {
        using WireClient client = _served.Connect();
        byte[] body = new Payload().U32(argsz, 0, 0, 0);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.GetInfo, body[..length]));
    }
}
