using Penstock.Interop;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 2, DMA_MAP.</summary>
public sealed class DmaMapTests : IDisposable
{
    private readonly ServedFunction _served = new();

    public void Dispose() => _served.Dispose();

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(3 | 4)]
    [InlineData(3 | 8)]
    public void Map_WithDescriptor_DeviceMovesExactlyWhatTheFlagsAllow(uint flags)
    {
        using WireClient client = _served.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(0x3000, 0x5a);
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x10000, 0x2000, flags, 0x1000), memory.Number());
        byte[] data = new byte[16];
        Assert.Equal((flags & 1) != 0 ? Errno.None : Errno.EPERM, _served.DmaRead(0x10ff8, data));
        Assert.Equal((flags & 1) != 0 ? 0x5a : 0, data[0]);
        data.AsSpan().Fill(0x77);
        Assert.Equal((flags & 2) != 0 ? Errno.None : Errno.EPERM, _served.DmaWrite(0x11000, data));
        Assert.Equal((flags & 2) != 0 ? 0x77 : 0x5a, memory.Content(0x2000, 16)[15]);
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0x12000, data));
        Assert.Equal(Errno.EFAULT, _served.DmaWrite(0xfff8, data));
    }

    [Theory]
    [InlineData(0u, true)]
    [InlineData(0u, false)]
    [InlineData(3u | 12u, true)]
    [InlineData(3u | 16u, true)]
    [InlineData(0x80000003u, true)]
    [InlineData(3u | 4u, false)]
    [InlineData(3u | 8u, false)]
    public void Map_BadFlags_IsEinval(uint flags, bool descriptor)
    {
        using WireClient client = _served.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(0x1000);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000, flags), descriptor ? [memory.Number()] : []));
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x1000), memory.Number());
    }

    [Theory]
    [InlineData(0)]
    [InlineData(4)]
    [InlineData(31)]
    [Trait("Row", "VU-F7")]
    public void Map_ShortBody_IsEinval(int length)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000)[..length]));
        client.AssertAlive();
    }

    [Theory]
    [InlineData(0u, Errno.EINVAL)]
    [InlineData(31u, Errno.EINVAL)]
    [InlineData(32u, Errno.None)]
    [InlineData(33u, Errno.None)]
    [InlineData(uint.MaxValue, Errno.None)]
    public void Map_ArgumentSize_IsAtLeastTheStructure(uint argsz, Errno expected)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(expected, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000, argsz: argsz)));
    }

    [Fact]
    public void Map_BodyLongerThanTheStructure_IsAccepted()
    {
        using WireClient client = _served.Connect();
        WireMessage reply = client.Call(Cmd.DmaMap, [.. WireClient.Map(0, 0x1000), 1, 2, 3]);
        Assert.Equal(0u, reply.Error);
        Assert.Empty(reply.Body);
    }

    [Theory]
    [InlineData(0x10000ul, 0x3000ul)]
    [InlineData(0x10000ul, 0x1000ul)]
    [InlineData(0xf000ul, 0x2000ul)]
    [InlineData(0x12000ul, 0x2000ul)]
    [InlineData(0x0ul, 0x100000ul)]
    public void Map_OverAnother_IsEexistAndTheOldOneStays(ulong iova, ulong size)
    {
        using WireClient client = _served.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(0x100000, 0x11);
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x10000, 0x3000), memory.Number());
        Assert.Equal(Errno.EEXIST, client.Try(Cmd.DmaMap, WireClient.Map(iova, size), memory.Number()));
        Assert.Equal(Errno.None, _served.DmaRead(0x10000, new byte[0x3000]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0xf000, new byte[8]));
        Assert.Equal(Errno.EFAULT, _served.DmaRead(0x13000, new byte[8]));
    }

    [Theory]
    [InlineData(0ul, 0ul, Errno.EINVAL)]
    [InlineData(0x800ul, 0x1000ul, Errno.EINVAL)]
    [InlineData(0ul, 0x800ul, Errno.EINVAL)]
    [InlineData(0xfffffffffffff000ul, 0x2000ul, Errno.EOVERFLOW)]
    [InlineData(0xfffffffffffff000ul, 0x1000ul, Errno.None)]
    [InlineData(0x8000000000000000ul, 0x8000000000000000ul, Errno.None)]
    [InlineData(0ul, 0xfffffffffffff000ul, Errno.None)]
    public void Map_WithoutDescriptorAtTheEdges_IsAnsweredAsPagesDemand(ulong iova, ulong size, Errno expected)
    {
        using WireClient client = _served.Connect();
        Assert.Equal(expected, client.Try(Cmd.DmaMap, WireClient.Map(iova, size)));
    }

    [Theory]
    [InlineData(0x1000ul, 0x1000ul)]
    [InlineData(0ul, 0x2000ul)]
    [InlineData(0xfffffffffffff000ul, 0x1000ul)]
    [InlineData(0x8000000000000000ul, 0x1000ul)]
    [InlineData(0ul, 0x8000000000000000ul)]
    public void Map_FileSmallerThanClaimed_IsEinval(ulong offset, ulong size)
    {
        using WireClient client = _served.Connect();
        using MemoryFile memory = Handles.Memory(0x1000);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, size, offset: offset), memory.Number()));
        client.AssertAlive();
    }

    [Fact]
    public void Map_DescriptorIsNoMemory_IsEinvalAndClosed()
    {
        using WireClient client = _served.Connect();
        (var read, var write) = Handles.Pipe();
        using (read)
        {
            using (write)
            {
                Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000), write.Number()));
            }

            client.AssertAlive();
            Handles.AssertAllClosed(read);
        }
    }

    [Fact]
    public void Map_TwoDescriptors_IsEinval()
    {
        using WireClient client = _served.Connect();
        using MemoryFile memory = Handles.Memory(0x1000);
        Assert.Equal(Errno.EINVAL, client.Try(Cmd.DmaMap, WireClient.Map(0, 0x1000), memory.Number(), memory.Number()));
    }

    [Fact]
    public void Map_MoreThanAdvertised_IsEnospcUntilOneLeaves()
    {
        using var few = new ServedFunction(mappingLimit: 4);
        using WireClient client = few.Connect();
        for (ulong i = 0; i < 4; i++)
        {
            client.Succeed(Cmd.DmaMap, WireClient.Map(i << 12, 0x1000));
        }

        Assert.Equal(Errno.ENOSPC, client.Try(Cmd.DmaMap, WireClient.Map(0x10000, 0x1000)));
        client.Succeed(Cmd.DmaUnmap, WireClient.Unmap(0, 0x1000));
        client.Succeed(Cmd.DmaMap, WireClient.Map(0x10000, 0x1000));
    }

    [Fact]
    public void Map_BeforeGetInfoAndPipelined_IsAnsweredInOrder()
    {
        using WireClient client = _served.Connect();
        using MemoryFile memory = Handles.Memory(0x8000);
        ushort[] ids = [.. Enumerable.Range(0, 8).Select(i =>
            client.Send(Cmd.DmaMap, WireClient.Map((ulong)i << 12, 0x1000, offset: (ulong)i << 12), 0, memory.Number()))];
        Assert.All(ids, id => Assert.Equal(0u, client.ReceiveReply(id, Cmd.DmaMap).Error));
        client.AssertAlive();
    }

    [Fact]
    public void Map_NoReplyWanted_IsDoneSilently()
    {
        using WireClient client = _served.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(0x1000, 9);
        client.Send(Cmd.DmaMap, WireClient.Map(0, 0x1000), Cmd.NoReply, memory.Number());
        client.Send(Cmd.DmaMap, WireClient.Map(0, 0x1000), Cmd.NoReply, memory.Number());
        client.AssertAlive();
        byte[] data = new byte[1];
        Assert.Equal(Errno.None, _served.DmaRead(0, data));
        Assert.Equal(9, data[0]);
    }

    [Fact]
    public void Map_Guarded_SurvivesAFileThatShrinks()
    {
        using var guarded = new ServedFunction(new VfioUserServerOptions { Guard = true });
        using WireClient client = guarded.ConnectEnabled();
        using MemoryFile memory = Handles.Memory(0x2000, 3);
        client.Succeed(Cmd.DmaMap, WireClient.Map(0, 0x2000), memory.Number());
        Assert.Equal(Errno.None, guarded.DmaRead(0x1000, new byte[8]));
        using (var file = new FileStream($"/proc/self/fd/{memory.Number()}", FileMode.Open, FileAccess.Write))
        {
            file.SetLength(0x1000);
        }

        Assert.Equal(Errno.EFAULT, guarded.DmaRead(0x1000, new byte[8]));
        client.AssertAlive();
    }
}
