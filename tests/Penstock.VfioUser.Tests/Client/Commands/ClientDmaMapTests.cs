using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DMA_MAP in the client's role: of the client itself, and of a remote device whose container maps.</summary>
public sealed class ClientDmaMapTests
{
    private const ulong Iova = 0x10_0000;

    [Theory]
    [InlineData(DmaAccess.Read, 1u)]
    [InlineData(DmaAccess.Write, 2u)]
    [InlineData(DmaAccess.ReadWrite, 3u)]
    public void WithDescriptor_IsTheStructure(DmaAccess access, uint flags) => FakeServer.Talk(
        s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x2000, flags, 0x1000)), []);
            Assert.Single(s.Descriptors);
            Assert.Equal(0x4000ul, FileFacts.Of(s.Descriptors[0].Value).Size);
        },
        c =>
        {
            using MemoryFile memory = Handles.Memory(0x4000);
            c.MapDma(Iova, 0x2000, access, memory, 0x1000);
        });

    [Fact]
    public void WithoutDescriptor_IsServedByMessages() => FakeServer.Talk(
        static s =>
        {
            WireMessage map = s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x2000));
            Assert.Empty(s.Descriptors);
            s.Reply(map, []);
            s.Command(1, Cmd.DmaRead, new Payload().U64(Iova + 0x10, 4));
            Assert.Equal([.. new Payload().U64(Iova + 0x10, 4).ToBytes(), 1, 2, 3, 4], s.Answer(1, Cmd.DmaRead).Body);
            s.Hangup();
        },
        static c =>
        {
            var memory = ProcessMemory.Allocate(0x3000);
            memory.Write(0x1010, [1, 2, 3, 4]);
            c.MapDma(Iova, 0x2000, DmaAccess.ReadWrite, memory, 0x1000);
            memory.Release();
            Handles.Await(() => c.Failure is not null, "the server's end");
        });

    [Fact]
    public void Refused_IsNotServed() => FakeServer.Talk(
        static s =>
        {
            s.Refuse(s.Expect(Cmd.DmaMap), Errno.ENOSPC);
            s.Reply(s.Expect(Cmd.Reset), []);
            s.Command(1, Cmd.DmaRead, new Payload().U64(Iova, 4));
            s.Answer(1, Cmd.DmaRead, (uint)Errno.EFAULT);
            s.Hangup();
        },
        static c =>
        {
            var memory = ProcessMemory.Allocate(0x2000);
            Assert.Equal(Errno.ENOSPC, Assert.Throws<VfioException>(() => c.MapDma(Iova, 0x2000, DmaAccess.ReadWrite, memory)).Errno);
            memory.Release();
            c.Reset();
            Handles.Await(() => c.Failure is not null, "the server's end");
        });

    [Fact]
    public void OverAnother_IsNotSent() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.DmaMap), []),
        static c =>
        {
            var memory = ProcessMemory.Allocate(0x2000);
            c.MapDma(Iova, 0x2000, DmaAccess.ReadWrite, memory);
            Assert.Equal(Errno.EEXIST, Assert.Throws<VfioException>(() => c.MapDma(Iova + 0x1000, 0x1000, DmaAccess.ReadWrite, memory)).Errno);
            memory.Release();
        });

    [Fact]
    public void Container_MapsBeforeAndAfterTheOpen_ReachTheServer() => RemoteScript.Run(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000, 3, 0x2000)), []);
            Assert.Single(s.Descriptors);
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(2 * Iova, 0x1000, 1)), []);
            Assert.Empty(s.Descriptors);
        },
        static (s, rig) =>
        {
            MappedMemory file = rig.FileMemory(0x4000);
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, file, 0x2000);
            rig.Container.MapDma(2 * Iova, 0x1000, DmaAccess.Read, plain, 0);
            using VfioDeviceFile device = rig.Open();
            rig.Container.MapDma(3 * Iova, 0x1000, DmaAccess.ReadWrite, file, 0);
            Assert.Equal(0x1000ul, rig.Container.UnmapDma(3 * Iova, 0x1000));
            file.Release();
            plain.Release();
        },
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(3 * Iova, 0x1000)), []);
            s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(3 * Iova, 0x1000)), WireClient.Unmap(3 * Iova, 0x1000));
        });

    [Fact]
    public void Container_ServerRefuses_MapFailsWithItsErrorAndIsUndone() => RemoteScript.Run(
        static _ => { },
        static (s, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            MappedMemory file = rig.FileMemory(0x4000);
            Assert.Equal(Errno.EPERM, Assert.Throws<VfioException>(() => rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, file, 0)).Errno);
            Assert.Equal(0ul, rig.Container.UnmapDma(Iova, 0x1000));
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, file, 0);
            file.Release();
        },
        static s =>
        {
            s.Refuse(s.Expect(Cmd.DmaMap), Errno.EPERM);
            s.Reply(s.Expect(Cmd.DmaMap), []);
        });

    [Fact]
    public void Container_ServerRefusesAtTheOpen_OpenFailsWithItsError() => RemoteScript.Run(
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            s.Refuse(s.Expect(Cmd.DmaMap), Errno.ENOMEM);
            s.Reply(s.Expect(Cmd.DmaUnmap, WireClient.Unmap(Iova, 0x1000)), WireClient.Unmap(Iova, 0x1000));
            s.AwaitEnd();
        },
        static (s, rig) =>
        {
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            rig.Container.MapDma(2 * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            Assert.Equal(Errno.ENOMEM, Assert.Throws<VfioException>(() => rig.Open()).Errno);
            plain.Release();
        });

    [Fact]
    public void Container_MoreMapsThanTheServerTakes_IsEnospc() => RemoteScript.Run(
        static _ => { },
        static (s, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            var plain = ProcessMemory.Allocate(0x1000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            Assert.Equal(Errno.ENOSPC, Assert.Throws<VfioException>(() => rig.Container.MapDma(2 * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0)).Errno);
            rig.Container.UnmapDma(Iova, 0x1000);
            rig.Container.MapDma(2 * Iova, 0x1000, DmaAccess.ReadWrite, plain, 0);
            plain.Release();
        },
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap), []);
            WireMessage unmap = s.Expect(Cmd.DmaUnmap);
            s.Reply(unmap, unmap.Body);
            s.Reply(s.Expect(Cmd.DmaMap), []);
        },
        """{"capabilities":{"max_dma_maps":1,"max_msg_fds":1}}""");

    [Fact]
    public void Container_SmallerPagesThanTheServers_IsEinval() => RemoteScript.Run(
        static _ => { },
        static (s, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            var plain = ProcessMemory.Allocate(0x10000);
            Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0)).Errno);
            rig.Container.MapDma(Iova, 0x10000, DmaAccess.ReadWrite, plain, 0);
            plain.Release();
        },
        static s => s.Reply(s.Expect(Cmd.DmaMap), []),
        """{"capabilities":{"pgsizes":65536}}""");

    [Fact]
    public void Container_ServerWithoutDescriptors_GetsNone() => RemoteScript.Run(
        static _ => { },
        static (s, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            MappedMemory file = rig.FileMemory(0x4000);
            rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, file, 0x1000);
            file.Release();
        },
        static s =>
        {
            s.Reply(s.Expect(Cmd.DmaMap, WireClient.Map(Iova, 0x1000)), []);
            Assert.Empty(s.Descriptors);
        },
        """{"capabilities":{"max_msg_fds":0}}""");

    [Fact]
    public void Container_NoSoundReply_EndsTheConnection() => RemoteScript.Run(
        static _ => { },
        static (s, rig) =>
        {
            using VfioDeviceFile device = rig.Open();
            var plain = ProcessMemory.Allocate(0x1000);
            Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => rig.Container.MapDma(Iova, 0x1000, DmaAccess.ReadWrite, plain, 0)).Errno);
            Assert.NotNull(rig.Device.Failure);
            Assert.Equal((Errno.ENOTCONN, 0), (device.Read(VfioRegions.Config, 0, new byte[4], out int done), done));
            plain.Release();
        },
        static s => s.Reply(s.Expect(Cmd.DmaMap), [1]));
}
