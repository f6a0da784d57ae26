using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>GET_PRECOPY_INFO in the client's role.</summary>
public sealed class ClientPrecopyInfoTests
{
    [Fact]
    public void PrecopyInfo_IsAStructureOfItsOwn() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.PrecopyInfo, new Payload().U32(24, 0).U64(0, 0)), new Payload().U32(24, 0).U64(7, 8)),
        static c => Assert.Equal((7ul, 8ul), (c.GetPrecopyInfo() is var i ? i.InitialBytes : 0, i.DirtyBytes)));

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.ENOTTY)]
    public void PrecopyInfo_Refused_IsTheError(Errno errno) => FakeServer.Talk(
        s =>
        {
            s.Refuse(s.Expect(Cmd.PrecopyInfo), errno);
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        c =>
        {
            Assert.Equal(errno, Assert.Throws<VfioException>(() => c.GetPrecopyInfo()).Errno);
            c.Reset();
        });

    [Theory]
    [InlineData(0)]
    [InlineData(8)]
    [InlineData(23)]
    [InlineData(25)]
    public void PrecopyInfo_OfAnotherLength_IsRefused(int length) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.PrecopyInfo), new byte[length]),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetPrecopyInfo()).Errno));
}
