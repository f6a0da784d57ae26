using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_SET_IRQS in the client's role.</summary>
public sealed class ClientSetIrqsTests
{
    private const VfioIrqSetFlags Arm = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger;
    private const uint ArmBits = 36;
    private const string FewDescriptors = """{"capabilities":{"max_msg_fds":4}}""";

    [Fact]
    public void NoData_IsTheStructure() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.SetIrqs, WireClient.Irqs(33, 2, 0, 0)), []),
        static c => c.SetIrqs(2, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0));

    [Fact]
    public void Bools_FollowTheStructure() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.SetIrqs, [.. WireClient.Irqs(10, 1, 3, 3, argsz: 23), 1, 0, 1]), []),
        static c => c.SetIrqs(1, VfioIrqSetFlags.ActionMask, 3, [1, 0, 1]));

    [Fact]
    public void Events_AsManyAsFit_GoInOneMessage() => Given(4, static s => Chunk(s, 0, 4, 4), static (c, e) => c.SetIrqs(2, Arm, 0, 4, e));

    [Fact]
    public void Events_AreTheCallersOwn() => FakeServer.Talk(
        static s =>
        {
            WireMessage set = Chunk(s, 0, 1, 1, reply: false);
            using var e = EventDescriptor.Adopt(s.Descriptors[0]);
            Assert.Equal(Errno.None, e.Signal());
            s.Reply(set, []);
        },
        static c =>
        {
            using var e = EventDescriptor.Create();
            c.SetIrqs(2, Arm, 0, 1, e);
            Assert.Equal(1ul, e.Drain());
        });

    [Fact]
    public void Events_MoreThanFit_AreEnabledAsAWholeFirst() => Given(
        10,
        static s =>
        {
            Chunk(s, 2, 10, 0);
            Chunk(s, 2, 4, 4);
            Chunk(s, 6, 4, 4);
            Chunk(s, 10, 2, 2);
        },
        static (c, e) => c.SetIrqs(2, Arm, 2, 10, e));

    [Fact]
    public void Events_MoreThanFit_OfEnabledVectors_GoOnTheirOwn() => Given(
        10,
        static s =>
        {
            Chunk(s, 0, 12, 0);
            Chunk(s, 2, 4, 4);
            Chunk(s, 6, 4, 4);
            Chunk(s, 10, 2, 2);
        },
        static (c, e) =>
        {
            c.SetIrqs(2, Arm, 0, 12);
            c.SetIrqs(2, Arm, 2, 10, e);
        });

    [Fact]
    public void Events_AfterTheEndOfAll_AreEnabledAgain() => Given(
        5,
        static s =>
        {
            Chunk(s, 0, 5, 0);
            s.Reply(s.Expect(Cmd.SetIrqs, WireClient.Irqs(33, 2, 0, 0)), []);
            Chunk(s, 0, 5, 0);
            Chunk(s, 0, 4, 4);
            Chunk(s, 4, 1, 1);
        },
        static (c, e) =>
        {
            c.SetIrqs(2, Arm, 0, 5);
            c.SetIrqs(2, VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger, 0, 0);
            c.SetIrqs(2, Arm, 0, 5, e);
        });

    [Fact]
    public void Events_AbsentAndPresent_GoApart() => FakeServer.Talk(
        static s =>
        {
            Chunk(s, 0, 9, 0);
            Chunk(s, 0, 2, 2);
            Chunk(s, 2, 6, 0);
            Chunk(s, 8, 1, 1);
        },
        static c =>
        {
            EventDescriptor[] e = Handles.Events(3);
            c.SetIrqs(2, Arm, 0, 9, [], [e[0].Number(), e[1].Number(), -1, -1, -1, -1, -1, -1, e[2].Number()]);
            e.DisposeAll();
        },
        json: FewDescriptors);

    [Fact]
    public void Events_AllAbsent_AreOneMessage() => FakeServer.Talk(
        static s => Chunk(s, 5, 40, 0), static c => c.SetIrqs(2, Arm, 5, 40, [], [.. Enumerable.Repeat(-1, 40)]), json: FewDescriptors);

    [Fact]
    public void Events_RefusedHalfWay_AreTakenBack() => Given(
        6,
        static s =>
        {
            Chunk(s, 0, 6, 0);
            Chunk(s, 0, 4, 4);
            s.Refuse(Chunk(s, 4, 2, 2, reply: false), Errno.ENOSPC);
            Chunk(s, 0, 4, 0);
        },
        static (c, e) => Assert.Equal(Errno.ENOSPC, Assert.Throws<VfioException>(() => c.SetIrqs(2, Arm, 0, 6, e)).Errno));

    [Fact]
    public void Events_ServerWithoutDescriptors_AreNotSent() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Reset), []),
        static c =>
        {
            using var e = EventDescriptor.Create();
            Assert.Equal(Errno.EOPNOTSUPP, Assert.Throws<VfioException>(() => c.SetIrqs(2, Arm, 0, 1, e)).Errno);
            c.Reset();
        },
        json: """{"capabilities":{"max_msg_fds":0}}""");

    [Fact]
    public void Events_ThatAreClosed_AreTheCallersError() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Reset), []),
        static c =>
        {
            Assert.Equal(Errno.EBADF, Assert.Throws<VfioException>(() => c.SetIrqs(2, Arm, 0, 1, [], [1_000_000])).Errno);
            c.Reset();
        });

    private static void Given(int count, Action<FakeServer> script, Action<VfioUserClient, EventDescriptor[]> use) => FakeServer.Talk(
        script,
        c =>
        {
            EventDescriptor[] events = Handles.Events(count);
            use(c, events);
            events.DisposeAll();
        },
        json: FewDescriptors);

    private static WireMessage Chunk(FakeServer s, uint start, uint count, int descriptors, bool reply = true)
    {
        WireMessage set = s.Expect(Cmd.SetIrqs, WireClient.Irqs(ArmBits, 2, start, count));
        Assert.Equal(descriptors, s.Descriptors.Count);
        if (reply)
        {
            s.Reply(set, []);
        }

        return set;
    }
}
