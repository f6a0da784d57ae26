using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_GET_IRQ_INFO in the client's role.</summary>
public sealed class ClientGetIrqInfoTests
{
    [Theory]
    [InlineData(0u, 7u, 1u)]
    [InlineData(1u, 9u, 32u)]
    [InlineData(2u, 9u, 2048u)]
    [InlineData(4u, 9u, 0u)]
    [InlineData(127u, 0u, 1u)]
    public void Info_IsWhatTheServerSays(uint index, uint flags, uint count) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetIrqInfo, new Payload().U32(16, 0, index, 0)), new Payload().U32(16, flags, index, count)),
        c => Assert.Equal(new VfioIrqInfo((int)index, (VfioIrqFlags)flags, count), c.GetIrqInfo(index)));

    [Theory]
    [InlineData(1u, 4u)]
    [InlineData(uint.MaxValue, 4u)]
    [InlineData(2u, 2049u)]
    [InlineData(2u, uint.MaxValue)]
    public void Info_AboutAnotherOrOfTooManyVectors_IsRefused(uint index, uint count) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetIrqInfo), new Payload().U32(16, 9, index, count)),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetIrqInfo(2)).Errno));

    [Theory]
    [InlineData(0)]
    [InlineData(15)]
    [InlineData(17)]
    public void Info_OfAnotherLength_IsRefused(int length) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.GetIrqInfo), new byte[length]),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.GetIrqInfo(0)).Errno));
}
