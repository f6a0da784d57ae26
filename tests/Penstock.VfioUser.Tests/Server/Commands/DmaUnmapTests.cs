using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 3, DMA_UNMAP, the row "short DMA_UNMAP bodies", and where a real QEMU parts from the letter.</summary>
public sealed class DmaUnmapTests : IDisposable
{
    private readonly ServedFunction _served = new();
    private readonly MemoryFile _memory = Handles.Memory(0x10000, 0x42);

    public void Dispose()
    {
        _served.Dispose();
        _memory.Dispose();
    }

    [Fact]
    public void Unmap_OneMap_EchoesTheRequestAndEndsAccess()
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x1000, 0x2000), _memory.Number());
        Assert.Equal(Errno.None, _served.DmaRead(0x1000, new byte[8]));
        byte[] request = WireClient.Unmap(0x1000, 0x2000);
        WireMessage reply = client.Call(Cmd.DmaUnmap, request);
        Assert.Equal(0u, reply.Error);
        Assert.Equal(request, reply.Body);
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0x1000, new byte[8]));
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x1000, 0x2000), _memory.Number());
    }

    [Theory]
    [InlineData(0x1000ul, 0x1000ul)]
    [InlineData(0xfef00000ul, 0xffffffff01100000ul)]
    [InlineData(0x8000000000000000ul, 0x8000000000000000ul)]
    [InlineData(0ul, 0x8000000000000000ul)]
    [InlineData(0xfffffffffffff000ul, 0x1000ul)]
    public void Unmap_NeverMapped_Succeeds(ulong iova, ulong size)
    {
        using WireClient client = _served.Connect();
        client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(iova, size));
    }

    [Theory]
    [InlineData(0xfef00000ul, 0xffffffff01100000ul)]
    [InlineData(0x100000000ul, 0x100000000ul)]
    public void Unmap_RangeAroundMaps_TakesThoseWithinAndLeavesTheRest(ulong iova, ulong size)
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x1000, 0x1000), _memory.Number());
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x100000000, 0x1000), _memory.Number());
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x180000000, 0x1000), _memory.Number());
        client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(iova, size));
        Assert.Equal(Errno.None, _served.DmaRead(0x1000, new byte[8]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0x100000000, new byte[8]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0x180000000, new byte[8]));
    }

    [Fact]
    public void Unmap_MergedOverMoreThanAThousandMaps_TakesAll()
    {
        const int Maps = 1056;
        using WireClient client = _served.ConnectEnabled();
        for (ulong i = 0; i < Maps; i++)
        {
            client.Send(Cmd.DmaMap, WireClient.Map(i << 12, 0x1000), Cmd.NoReply, _memory.Number());
        }

        client.AssertAlive();
        Assert.Equal(Errno.None, _served.DmaRead((Maps - 1) << 12, new byte[8]));
        client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(0, Maps << 12));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0, new byte[8]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead((Maps - 1) << 12, new byte[8]));
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, (ulong)Maps << 12));
    }

    [Fact]
    public void Unmap_All_TakesEverythingAlsoTheLastPage()
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000), _memory.Number());
        client.Succeed(Cmd.DmaMap, WireClient.Map(0xfffffffffffff000, 0x1000), _memory.Number());
        Assert.Equal(Errno.None, _served.DmaRead(0xfffffffffffff000, new byte[0x1000]));
        byte[] request = WireClient.Unmap(0, 0, 2);
        Assert.Equal(request, client.Call(Cmd.DmaUnmap, request).Body);
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0, new byte[8]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0xfffffffffffff000, new byte[8]));
        client.Succeed(Cmd.DmaUnmap, request);
    }

    [Theory]
    [InlineData(0x1000ul, 0ul, 2u)]
    [InlineData(0ul, 0x1000ul, 2u)]
    [InlineData(0ul, 0x1000ul, 1u)]
    [InlineData(0ul, 0ul, 3u)]
    [InlineData(0ul, 0x1000ul, 4u)]
    [InlineData(0ul, 0x1000ul, 0x80000000u)]
    [InlineData(0ul, 0ul, 0u)]
    [InlineData(0x800ul, 0x1000ul, 0u)]
    [InlineData(0ul, 0x800ul, 0u)]
    public void Unmap_BadFlagsOrRange_IsEinvalAndTakesNothing(ulong iova, ulong size, uint flags)
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000), _memory.Number());
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaUnmap, WireClient.Unmap(iova, size, flags)));
        Assert.Equal(Errno.None, _served.DmaRead(0, new byte[8]));
    }

    [Fact]
    public void Unmap_PastTheAddressSpace_IsAnError()
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EOVERFLOW, client.Try(Cmd.DmaUnmap, WireClient.Unmap(0xfffffffffffff000, 0x2000)));
    }

    [Theory]
    [InlineData(0x1000ul, 0x1000ul)]
    [InlineData(0x2000ul, 0x2000ul)]
    [InlineData(0ul, 0x2000ul)]
    public void Unmap_ThatWouldCutAMap_IsEinvalAndTakesNothing(ulong iova, ulong size)
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x1000, 0x2000), _memory.Number());
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaUnmap, WireClient.Unmap(iova, size)));
        Assert.Equal(Errno.None, _served.DmaRead(0x1000, new byte[0x2000]));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(8)]
    [InlineData(23)]
    [Trait("Row", "VU-F7")]
    public void Unmap_ShortBody_IsEinval(int length)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaUnmap, WireClient.Unmap(0, 0x1000, 1)[..length]));
        client.AssertAlive();
    }

    [Theory]
    [InlineData(0u, Errno.EINVAL)]
    [InlineData(23u, Errno.EINVAL)]
    [InlineData(24u, Errno.None)]
    [InlineData(4096u, Errno.None)]
    public void Unmap_ArgumentSize_IsAtLeastTheStructure(uint argsz, Errno expected)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(expected, client.Try(Cmd.DmaUnmap, WireClient.Unmap(0, 0x1000, argsz: argsz)));
    }

    [Fact]
    public void UnmapThenMap_PipelinedAsAtBiosShadowing_IsDoneInOrder()
    {
        using WireClient client = _served.ConnectEnabled();
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x10000), _memory.Number());
        ushort unmap = client.Send(Cmd.DmaUnmap, WireClient.Unmap(0, 0x10000));
        ushort low = client.Send(Cmd.DmaMap, WireClient.Map(0, 0x8000), 0, _memory.Number());
        ushort high = client.Send(Cmd.DmaMap, WireClient.Map(0x8000, 0x8000, 1, 0x8000), 0, _memory.Number());
        Assert.Equal(0u, client.ReceiveReply(unmap, Cmd.DmaUnmap).Error);
        Assert.Equal(0u, client.ReceiveReply(low, Cmd.DmaMap).Error);
        Assert.Equal(0u, client.ReceiveReply(high, Cmd.DmaMap).Error);
        Assert.Equal(Errno.None, _served.DmaWrite(0x7ff8, new byte[8]));
        Assert.Equal(Errno.EPERM, _served.DmaWrite(0x8000, new byte[8]));
    }
}
