using Penstock.Interop;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_GET_REGION_IO_FDS in the client's role.</summary>
public sealed class ClientRegionIoFdsTests
{
    [Fact]
    public void Request_IsTheStructure() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.GetRegionIoFds, new Payload().U32(4096, 0, 3, 0)), new Payload().U32(16, 0, 3, 0)),
        static c =>
        {
            using RegionIoFds fds = c.GetRegionIoFds(3);
            Assert.Empty(fds.Entries);
        });

    [Fact]
    public void Entries_OfTheText_AreRead() => Answer(
        new Payload().U32(16 + 80, 0, 3, 2).U64(0x10, 4).U32(0, 0, 1, 0).U64(0x77).U64(0x20, 8).U32(0, 1, 0, 0).U64(0),
        1,
        static fds =>
        {
            Assert.Equal((0x10ul, 4ul, VfioUserIoFdType.Ioeventfd, 1u, 0x77ul), Of(fds.Entries[0]));
            Assert.Equal((0x20ul, 8ul, VfioUserIoFdType.Ioregionfd, 0u, 0ul), Of(fds.Entries[1]));
            Assert.NotNull(fds.Entries[0].Descriptor);
            Assert.Same(fds.Entries[0].Descriptor, fds.Entries[1].Descriptor);
        });

    [Fact]
    public void Entries_OfTheLibrary_AreToldByTheirLength() => Answer(
        new Payload().U32(16 + 96, 0, 3, 2).U64(0x10, 4).U32(1, 2, 1, 0).U64(0x800).U64(0x77).U64(0x20, 8).U32(uint.MaxValue, 0, 0, 9).U64(1).U64(0x99),
        2,
        static fds =>
        {
            Assert.Equal((0x10ul, 4ul, VfioUserIoFdType.ShadowIoeventfd, 1u, 0x77ul), Of(fds.Entries[0]));
            Assert.Equal(0x800ul, fds.Entries[0].ShadowOffset);
            Assert.NotNull(fds.Entries[0].Shadow);
            Assert.NotSame(fds.Entries[0].Shadow, fds.Entries[0].Descriptor);
            Assert.Equal((0x20ul, 8ul, VfioUserIoFdType.Ioeventfd, 0u, 0x99ul), Of(fds.Entries[1]));
            Assert.Null(fds.Entries[1].Descriptor);
            Assert.Null(fds.Entries[1].Shadow);
        });

    [Fact]
    public void Entries_MoreThanFit_AreAskedForAgain() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.GetRegionIoFds), new Payload().U32(16 + (200 * 40), 0, 3, 200));
            WireMessage again = s.Expect(Cmd.GetRegionIoFds, new Payload().U32(16 + (200 * 40), 0, 3, 0));
            Payload reply = new Payload().U32(16 + (200 * 40), 0, 3, 200);
            for (uint i = 0; i < 200; i++)
            {
                reply.U64(i * 8, 8).U32(uint.MaxValue, 0, 0, 0).U64(i);
            }

            s.Reply(again, reply);
        },
        static c =>
        {
            using RegionIoFds fds = c.GetRegionIoFds(3);
            Assert.Equal((200, 199ul), (fds.Entries.Count, fds.Entries[199].DataMatch));
        });

    [Theory]
    [InlineData(2u, 40, 16u + 40)]
    [InlineData(1u, 44, 16u + 44)]
    [InlineData(1u, 40, 16u + 48)]
    [InlineData(3u, 100, 16u + 100)]
    [InlineData(uint.MaxValue, 40, 16u + 40)]
    [InlineData(1u, 0, 16u)]
    public void Entries_ThatCannotBe_AreRefused(uint count, int bytes, uint argsz) => Refused([.. new Payload().U32(argsz, 0, 3, count).ToBytes(), .. new byte[bytes]], 1);

    [Theory]
    [InlineData(1u)]
    [InlineData(0x8000_0000u)]
    [InlineData(0xffff_fffeu)]
    public void Entries_DescriptorThatDidNotCome_IsRefused(uint index) =>
        Refused(new Payload().U32(56, 0, 3, 1).U64(0, 4).U32(index, 0, 0, 0).U64(0), 1);

    [Fact]
    public void Entries_ShadowThatDidNotCome_IsRefused() =>
        Refused(new Payload().U32(64, 0, 3, 1).U64(0, 4).U32(0, 2, 0, 5).U64(0, 0), 1);

    [Fact]
    public void Reply_OtherIndex_IsRefused() => Refused(new Payload().U32(16, 0, 2, 0), 0);

    private static (ulong, ulong, VfioUserIoFdType, uint, ulong) Of(RegionIoFd fd) => (fd.Offset, fd.Size, fd.Type, fd.Flags, fd.DataMatch);

    private static void Answer(byte[] reply, int descriptors, Action<RegionIoFds> look) => FakeServer.Talk(
        s =>
        {
            EventDescriptor[] events = Handles.Events(descriptors);
            s.Reply(s.Expect(Cmd.GetRegionIoFds), reply, descriptors: events.Numbers());
            events.DisposeAll();
        },
        c =>
        {
            using RegionIoFds fds = c.GetRegionIoFds(3);
            look(fds);
        });

    private static void Refused(byte[] reply, int descriptors) => FakeServer.Talk(
        s =>
        {
            EventDescriptor[] events = Handles.Events(descriptors);
            s.Reply(s.Expect(Cmd.GetRegionIoFds), reply, descriptors: events.Numbers());
            events.DisposeAll();
        },
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetRegionIoFds(3)).Errno));
}
