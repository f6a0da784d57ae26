using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>REGION_WRITE_MULTI in the client's role.</summary>
public sealed class ClientRegionWriteMultiTests
{
    [Fact]
    public void Multiple_AreOneMessage() => FakeServer.Talk(
        static s => s.Reply(
            s.Expect(Cmd.WriteMulti, new Payload().U64(2).U64(0x10).U32(2, 4).U64(0x0403_0201).U64(0x20).U32(7, 8).U64(ulong.MaxValue)),
            new Payload().U64(2)),
        static c => c.WriteMultiple([new RegionWrite(2, 0x10, 4, 0x0403_0201), new RegionWrite(7, 0x20, 8, ulong.MaxValue)]));

    [Fact]
    public void Multiple_Posted_WantNoReply() => FakeServer.Talk(
        static s =>
        {
            s.Expect(Cmd.WriteMulti, new Payload().U64(1).U64(0x10).U32(2, 1).U64(7), Cmd.NoReply);
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        static c =>
        {
            c.WriteMultiple([new RegionWrite(2, 0x10, 1, 7)], posted: true);
            c.Reset();
        });

    [Fact]
    public void Multiple_MoreThan200_AreSeveralMessages() => FakeServer.Talk(
        static s =>
        {
            foreach (ulong count in (ulong[])[200, 200, 1])
            {
                WireMessage writes = s.Expect(Cmd.WriteMulti);
                Assert.Equal((count, 8 + (24 * (int)count)), (writes.U64(0), writes.Body.Length));
                s.Reply(writes, new Payload().U64(count));
            }
        },
        static c => c.WriteMultiple([.. Enumerable.Range(0, 401).Select(static i => new RegionWrite(0, (ulong)i, 1, 1))]));

    [Fact]
    public void Multiple_ServerWithoutThem_GetsSingleOnes() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.RegionWrite, [.. WireClient.Access(0x10, 2, 2), 1, 2]), WireClient.Access(0x10, 2, 2));
            s.Reply(s.Expect(Cmd.RegionWrite, [.. WireClient.Access(0x20, 2, 1), 3]), WireClient.Access(0x20, 2, 1));
        },
        static c => c.WriteMultiple([new RegionWrite(2, 0x10, 2, 0x0201), new RegionWrite(2, 0x20, 1, 3)]),
        json: "{}");

    [Theory]
    [InlineData(0)]
    [InlineData(9)]
    [InlineData(-1)]
    public void Multiple_WithoutOrWithTooManyBytes_AreRefused(int length) => FakeServer.Talk(
        static s => s.AwaitEnd(),
        c => Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => c.WriteMultiple([new RegionWrite(0, 0, length, 0)])).Errno));

    [Theory]
    [InlineData(0ul)]
    [InlineData(1ul)]
    [InlineData(3ul)]
    [InlineData(ulong.MaxValue)]
    public void Multiple_NotAllDone_IsAnError(ulong done) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.WriteMulti), new Payload().U64(done)),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.WriteMultiple([new RegionWrite(0, 0, 1, 0), new RegionWrite(0, 1, 1, 0)])).Errno));
}
