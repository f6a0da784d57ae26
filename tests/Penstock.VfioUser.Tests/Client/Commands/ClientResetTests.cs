using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_RESET in the client's role.</summary>
public sealed class ClientResetTests
{
    [Fact]
    public void Reset_IsAHeaderAndNoMore() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Reset, []), []),
        static c => c.Reset());

    [Theory]
    [InlineData(1)]
    [InlineData(16)]
    public void Reset_AnsweredWithData_IsRefused(int length) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.Reset), new byte[length]),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(c.Reset).Errno));

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.EIO)]
    public void Reset_Refused_IsTheErrorAndTheNextOneWorks(Errno errno) => FakeServer.Talk(
        s =>
        {
            s.Refuse(s.Expect(Cmd.Reset), errno);
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        c =>
        {
            Assert.Equal(errno, Assert.Throws<VfioException>(c.Reset).Errno);
            c.Reset();
        });
}
