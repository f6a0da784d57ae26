using Penstock.Interop;

namespace Penstock.VfioUser.Tests;

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
