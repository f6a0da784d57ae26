using System.Text;
using Microsoft.Win32.SafeHandles;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Server;

/// <summary>Command 5 for regions that clients map: capabilities 1 and 16, and the descriptors that come with them.</summary>
public sealed class RegionSharingTests
{
    private const string WithDescriptors = """{"capabilities":{"max_msg_fds":8,"sparse_mmap_fds":true}}""";

    [Fact]
    public void Mappable_WithRoom_HasSparseAreasAndTheDescriptor()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, 80), out SafeFileHandle[] files);
        byte[] expected = new Payload().U32(80, 0xf, 0, 32).U64(0x4000, 0).U16(1, 1).U32(0, 2, 0).U64(0x1000, 0x1000, 0x3000, 0x1000);
        Assert.Equal(expected, reply.Body);
        Assert.Equal(0x4000ul, FileFacts.Of(Assert.Single(files).Number()).Size);
        files.DisposeAll();
        client.AssertAlive();
    }

    [Theory]
    [InlineData(32u)]
    [InlineData(33u)]
    [InlineData(79u)]
    public void Mappable_ArgszTooSmall_Is32BytesWithTheNeededSizeAndNoDescriptor(uint argsz)
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, argsz), out SafeFileHandle[] files);
        Assert.Empty(files);
        Assert.Equal((byte[])new Payload().U32(80, 7, 0, 0).U64(0x4000, 0), reply.Body);
    }

    [Fact]
    public void Mappable_AsQemuAsks_FirstWithoutThenWithRoom()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect();
        uint needed = client.Call(Cmd.GetRegionInfo, Info(0, 32), out _).U32(0);
        client.Call(Cmd.GetRegionInfo, Info(0, needed), out SafeFileHandle[] files);
        Assert.Single(files);
        files.DisposeAll();
    }

    [Fact]
    public void Mappable_WholeBarWithMsixTable_SaysSo()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(1, 4096), out SafeFileHandle[] files);
        byte[] expected = new Payload().U32(72, 0xf, 1, 32).U64(0x4000, 0).U16(1, 1).U32(64, 1, 0).U64(0, 0x4000).U16(3, 1).U32(0);
        Assert.Equal(expected, reply.Body);
        Assert.Single(files);
        files.DisposeAll();
    }

    [Theory]
    [InlineData(2u, 3u)]
    [InlineData(3u, 3u)]
    [InlineData(4u, 0u)]
    [InlineData(7u, 3u)]
    public void MemoryWithoutADescriptor_CannotBeMappedFromOutside(uint index, uint flags)
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(index, 4096), out SafeFileHandle[] files);
        Assert.Empty(files);
        Assert.Equal((32, 32u, flags, 0u), (reply.Body.Length, reply.U32(0), reply.U32(4), reply.U32(12)));
    }

    [Theory]
    [InlineData("""{"capabilities":{"max_msg_fds":0}}""", false)]
    [InlineData("""{"capabilities":{"max_msg_fds":1}}""", true)]
    [InlineData("""{"capabilities":{}}""", true)]
    public void Mappable_ClientThatTakesNoDescriptors_HearsOfNoMapping(string json, bool mappable)
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.Connect(json);
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
        Assert.Equal(mappable ? 1 : 0, files.Length);
        Assert.Equal(mappable ? 0xfu : 3u, reply.U32(4));
        files.DisposeAll();
    }

    [Fact]
    public void Mapped_ClientAndDevice_SeeTheSameMemoryWithoutMessages()
    {
        var function = new MappableFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        using MemoryMapping page = MapDoorbells(client);
        Bytes(page)[8] = 0x42;
        Assert.Equal(0x42, function.Doorbells.Span(0x1008, 1)[0]);
        client.Write(0, 0x1010, 1, 2, 3, 4);
        Assert.Equal([1, 2, 3, 4], Bytes(page)[0x10..0x14].ToArray());
        Assert.Equal([0x42], client.Read(0, 0x1008, 1));
        Assert.Empty(function.Calls);
        client.Write(0, 0, 1);
        Assert.Equal([(0, 0ul)], function.Calls);
    }

    [Fact]
    public void Mapped_AfterTheClientIsGone_ReachesNeitherDeviceNorNextClient()
    {
        var function = new MappableFunction();
        using var served = new ServedFunction(function: function);
        MemoryMapping old;
        using (WireClient first = served.ConnectEnabled())
        {
            old = MapDoorbells(first);
            Bytes(old)[0] = 7;
        }

        served.NextEnd();
        served.AssertBalanced();
        Bytes(old)[0] = 8;
        using (WireClient second = served.ConnectEnabled())
        {
            using MemoryMapping page = MapDoorbells(second);
            Assert.Equal(0, Bytes(page)[0]);
            Bytes(old)[0] = 9;
            Bytes(page)[1] = 3;
            Assert.Equal([0, 3], second.Read(0, 0x1000, 2));
            Assert.Equal(0, Bytes(old)[1]);
        }

        old.Dispose();
    }

    [Fact]
    public void Mapped_DecodingOff_TheClientsMemoryStaysAndMessagesFail()
    {
        var function = new MappableFunction();
        using var served = new ServedFunction(function: function);
        using WireClient client = served.ConnectEnabled();
        using MemoryMapping page = MapDoorbells(client);
        client.Write(Cmd.ConfigRegion, 4, 0, 0);
        Bytes(page)[0] = 5;
        Assert.Equal(5, function.Doorbells.Span(0x1000, 1)[0]);
        Assert.Equal(Errno.EIO, client.TryWrite(0, 0x1000, 1));
        client.Succeed(Cmd.Reset, []);
        Assert.Equal(0, Bytes(page)[0]);
    }

    [Fact]
    public void Mapped_ClientCannotTakeItAway()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.ConnectEnabled();
        client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
        using var owner = new FileStream(files[0], FileAccess.ReadWrite);
        Assert.ThrowsAny<Exception>(() => owner.SetLength(0));
        client.Write(0, 0x1000, 1);
    }

    [Fact]
    public void TwoFiles_ClientThatTakesThem_HasADescriptorForEach()
    {
        using SplitMemory memory = new();
        using var served = new ServedFunction(function: new MappableFunction(), device: (f, g) => new SplitDevice(f, g, memory));
        using WireClient client = served.Connect(WithDescriptors);
        uint needed = client.Call(Cmd.GetRegionInfo, Info(0, 32), out _).U32(0);
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, needed), out SafeFileHandle[] files);
        Payload areas = new Payload().U32(3, 0)
            .U64(0, 0x2000, 0x1000).U32(0, 0)
            .U64(0x1000, 0, 0x1000).U32(1, 0)
            .U64(0x3000, 0x1000, 0x1000).U32(1, 0);
        byte[] expected = new Payload().U32(256, 0xf, 0, 32).U64(0x4000, 0)
            .U16(16, 1).U32(144).Bytes(areas).U16(0x8001, 1).U32(0).Bytes(areas);
        Assert.Equal(expected, reply.Body);
        Assert.Equal(2, files.Length);
        memory.First.Span(0x2000, 1)[0] = 11;
        memory.Second.Span(0x1000, 1)[0] = 12;
        Assert.Equal((11, 12), (ByteAt(files[0], 0x2000), ByteAt(files[1], 0x1000)));
        files.DisposeAll();
    }

    /// <summary>One descriptor is all that QEMU's client takes with this reply.</summary>
    [Fact]
    public void TwoFiles_ClientThatDoesNotKnowOfThem_HasTheAreasOfOne()
    {
        using SplitMemory memory = new();
        using var served = new ServedFunction(function: new MappableFunction(), device: (f, g) => new SplitDevice(f, g, memory));
        using WireClient client = served.Connect();
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
        Assert.Equal((byte[])new Payload().U32(64, 0xf, 0, 32).U64(0x4000, 0x2000).U16(1, 1).U32(0, 1, 0).U64(0, 0x1000), reply.Body);
        memory.First.Span(0x2000, 1)[0] = 13;
        Assert.Equal(13, ByteAt(Assert.Single(files), 0x2000));
        files.DisposeAll();
    }

    [Fact]
    public void TwoFiles_ClientThatTakesOneDescriptor_HearsOfNoMore()
    {
        using SplitMemory memory = new();
        using var served = new ServedFunction(function: new MappableFunction(), device: (f, g) => new SplitDevice(f, g, memory));
        using WireClient client = served.Connect("""{"capabilities":{"max_msg_fds":1,"sparse_mmap_fds":true}}""");
        WireMessage reply = client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
        Assert.Equal((64, 1u), (reply.Body.Length, reply.U32(40)));
        Assert.Single(files);
        files.DisposeAll();
    }

    [Fact]
    public void DescriptorsInTheBacklog_StillBelongToTheirReplies()
    {
        const int Rounds = 40;
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.ConnectEnabled();
        for (int i = 0; i < Rounds; i++)
        {
            client.Send(Cmd.RegionRead, WireClient.Access(0, 3, 0x4000));
            client.Send(Cmd.GetRegionInfo, Info(0, 4096));
            client.Send(Cmd.GetInfo, new Payload().U32(16, 0, 0, 0));
            client.Send(Cmd.GetRegionInfo, Info(1, 4096));
        }

        for (int i = 0; i < Rounds; i++)
        {
            foreach ((ushort command, int count) in new[] { (Cmd.RegionRead, 0), (Cmd.GetRegionInfo, 1), (Cmd.GetInfo, 0), (Cmd.GetRegionInfo, 1) })
            {
                WireMessage reply = client.Receive(out SafeFileHandle[] files);
                Assert.Equal((command, Cmd.TypeReply, count), (reply.Command, reply.Flags, files.Length));
                files.DisposeAll();
            }
        }
    }

    [Fact]
    public void DescriptorsWithoutEnd_AreRefusedAndTheSessionGoesOn()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using (WireClient client = served.Connect())
        {
            for (int i = 0; i < 4096; i++)
            {
                client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
                files.DisposeAll();
            }

            Assert.Equal(Errno.EMFILE, client.Try(Cmd.GetRegionInfo, Info(0, 4096)));
            client.AssertAlive();
        }

        served.NextEnd();
        served.AssertBalanced();
        using WireClient next = served.Connect();
        next.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] again);
        Assert.Single(again);
        again.DisposeAll();
    }

    [Fact]
    public void NoReply_LeavesNoDescriptorForTheNextReply()
    {
        using var served = new ServedFunction(function: new MappableFunction());
        using WireClient client = served.ConnectEnabled();
        client.Send(Cmd.GetRegionInfo, Info(0, 4096), Cmd.NoReply);
        client.Call(Cmd.RegionRead, WireClient.Access(0, 7, 4), out SafeFileHandle[] files);
        Assert.Empty(files);
    }

    [Fact]
    public void Agreed_ManyDescriptors_IsInTheReply()
    {
        using var served = new ServedFunction();
        using WireClient client = served.ConnectRaw();
        WireMessage version = client.Call(Cmd.Version, WireClient.Version(0, WithDescriptors));
        Assert.Contains("\"sparse_mmap_fds\":true", Encoding.ASCII.GetString(version.Body), StringComparison.Ordinal);
    }

    private static byte[] Info(uint index, uint argsz) => new Payload().U32(argsz, 0, index, 0).U64(0, 0);

    private static MemoryMapping MapDoorbells(WireClient client)
    {
        client.Call(Cmd.GetRegionInfo, Info(0, 4096), out SafeFileHandle[] files);
        try
        {
            return MemoryMapping.Map(files[0].Number(), 0x1000, 0x1000, MemoryProtection.Read | MemoryProtection.Write);
        }
        finally
        {
            files.DisposeAll();
        }
    }

    // SAFETY: the mapping outlives the span in each test.
    private static unsafe Span<byte> Bytes(MemoryMapping mapping) => new(mapping.Pointer, (int)mapping.Length);

    private static int ByteAt(SafeFileHandle file, long offset)
    {
        byte[] one = new byte[1];
        Assert.Equal(1, RandomAccess.Read(file, one, offset));
        return one[0];
    }

    private sealed class SplitMemory : IDisposable
    {
        public SharedMemory First { get; } = SharedMemory.Create("first", 0x4000);

        public SharedMemory Second { get; } = SharedMemory.Create("second", 0x4000);

        public void Dispose()
        {
            First.Release();
            Second.Release();
        }
    }

    /// <summary>BAR 0 in two files: page 0 in one, pages 1 and 3 in the other.</summary>
    private sealed class SplitDevice(IPciFunction function, IommuGroup group, SplitMemory memory)
        : VfioPciCoreDevice(ServedFunction.SlotName, function, group)
    {
        protected override VfioRegionInfo GetRegionInfo(uint index)
        {
            VfioRegionInfo info = base.GetRegionInfo(index);
            return index == VfioRegions.Bar0
                ? info with { MappableAreas = [new(0, 0x1000), new(0x1000, 0x1000), new(0x3000, 0x1000)] }
                : info;
        }

        protected override UserMemory Map(uint region, ulong offset, ulong length, out ulong start)
        {
            start = offset switch { 0 => 0x2000, 0x1000 => 0, _ => 0x1000 };
            return offset == 0 ? memory.First : memory.Second;
        }
    }
}
