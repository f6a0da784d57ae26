using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_GET_INFO in the client's role.</summary>
public sealed class ClientGetInfoTests
{
    [Theory]
    [InlineData(0u, 0u, 0u)]
    [InlineData(3u, 9u, 5u)]
    [InlineData(3u, 128u, 128u)]
    [InlineData(2u, 7u, 1u)]
    public void Info_IsWhatTheServerSays(uint flags, uint regions, uint irqs) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetInfo, new Payload().U32(16, 0, 0, 0)), new Payload().U32(16, flags, regions, irqs)),
        c => Assert.Equal(new VfioDeviceInfo((VfioDeviceFlags)flags, (int)regions, (int)irqs), c.GetInfo()));

    /// <summary>Nobody gets to see any: the reply has room for none.</summary>
    [Fact]
    public void Info_WithCapabilities_HasNone() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.GetInfo), new Payload().U32(200, 0x83, 9, 5)),
        static c => Assert.Equal((VfioDeviceFlags)3, c.GetInfo().Flags));

    [Theory]
    [InlineData(129u, 5u)]
    [InlineData(9u, 129u)]
    [InlineData(0x8000_0000u, 5u)]
    [InlineData(9u, uint.MaxValue)]
    [InlineData(uint.MaxValue, uint.MaxValue)]
    public void Info_OfMoreThanCanBe_IsRefused(uint regions, uint irqs) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetInfo), new Payload().U32(16, 3, regions, irqs)),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetInfo()).Errno));

    [Theory]
    [InlineData(0)]
    [InlineData(15)]
    [InlineData(17)]
    [InlineData(4096)]
    public void Info_OfAnotherLength_IsRefused(int length) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetInfo), new byte[length]),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetInfo()).Errno));
}
