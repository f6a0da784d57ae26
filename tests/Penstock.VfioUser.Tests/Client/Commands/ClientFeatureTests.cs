using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>DEVICE_FEATURE in the client's role.</summary>
public sealed class ClientFeatureTests
{
    private const ulong Iova = 0x10_0000;

    [Fact]
    public void GetMigration_IsAskedWithRoomForTheAnswer() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Feature, new Payload().U32(16, 1 | Cmd.Get).U64(0)), new Payload().U32(16, 1 | Cmd.Get).U64(5)),
        static c => Assert.Equal(MigrationFlags.StopCopy | MigrationFlags.PreCopy, c.GetMigrationFlags()));

    [Fact]
    public void GetDataSize_IsFeature9() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Feature, new Payload().U32(16, 9 | Cmd.Get).U64(0)), new Payload().U32(16, 9 | Cmd.Get).U64(12345)),
        static c => Assert.Equal(12345ul, c.GetMigrationDataSize()));

    [Fact]
    public void SetState_HasStateAndNoDescriptor() => FakeServer.Talk(
        static s =>
        {
            WireMessage set = s.Expect(Cmd.Feature, new Payload().U32(16, 2 | Cmd.Set, 3, uint.MaxValue));
            s.Reply(set, set.Body);
        },
        static c => c.SetMigrationState(MigrationState.StopCopy));

    [Fact]
    public void SetState_FailedWithTheEchoedPayload_AsTheLibraryDoes_IsTheError() => FakeServer.Talk(
        static s =>
        {
            WireMessage set = s.Expect(Cmd.Feature);
            s.Reply(set, set.Body, Cmd.TypeReply | Cmd.ErrorFlag, (uint)Errno.EINVAL);
        },
        static c => Assert.Equal(Errno.EINVAL, Assert.Throws<VfioException>(() => c.SetMigrationState(MigrationState.Error)).Errno));

    [Fact]
    public void Probe_IsSentAsItIs() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Feature, new Payload().U32(8, 6 | Cmd.Probe | Cmd.Set)), new Payload().U32(8, 6 | Cmd.Probe | Cmd.Set)),
        static c => Assert.Equal(0, c.Feature(VfioFeature.DmaLoggingStart, VfioFeatureFlags.Probe | VfioFeatureFlags.Set, [], [])));

    [Fact]
    public void StartLogging_HasTheRanges() => FakeServer.Talk(
        static s =>
        {
            WireMessage start = s.Expect(Cmd.Feature, new Payload().U32(8 + 16 + 32, 6 | Cmd.Set).U64(4096).U32(2, 0).U64(Iova, 0x1000, 2 * Iova, 0x3000));
            byte[] echo = start.Body;
            echo[8] = 0;
            echo[9] = 0x20;
            s.Reply(start, echo);
        },
        static c => Assert.Equal(
            8192ul,
            c.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = 0x1000 }, new VfioFeatureDmaLoggingRange { Iova = 2 * Iova, Size = 0x3000 }], 4096)));

    [Theory]
    [InlineData(0ul)]
    [InlineData(4095ul)]
    [InlineData(ulong.MaxValue)]
    public void StartLogging_ServerSaysNoPageSize_IsRefused(ulong pageSize) => FakeServer.Talk(
        s =>
        {
            WireMessage start = s.Expect(Cmd.Feature);
            s.Reply(start, [.. start.Body[..8], .. BitConverter.GetBytes(pageSize), .. start.Body[16..]]);
        },
        static c => Assert.Equal(
            Errno.EPROTO, Assert.Throws<VfioException>(() => c.StartDmaLogging([new VfioFeatureDmaLoggingRange { Iova = Iova, Size = 0x1000 }], 4096)).Errno));

    [Fact]
    public void StopLogging_HasNoData() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Feature, new Payload().U32(8, 7 | Cmd.Set)), new Payload().U32(8, 7 | Cmd.Set)),
        static c => c.StopDmaLogging());

    [Fact]
    public void Report_HasRoomForTheBitmap() => FakeServer.Talk(
        static s =>
        {
            WireMessage report = s.Expect(Cmd.Feature, new Payload().U32(8 + 24 + 16, 8 | Cmd.Get).U64(Iova, 0x50000, 4096));
            s.Reply(report, [.. report.Body, .. new Payload().U64(6, 1).ToBytes()]);
        },
        static c => Assert.Equal([6ul, 1], c.ReportDmaLogging(Iova, 0x50000, 4096)));

    [Fact]
    public void Feature_LongerThanAMessage_IsRefusedHere() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Reset), []),
        static c =>
        {
            Assert.Equal(Errno.EMSGSIZE, Assert.Throws<VfioException>(() => c.Feature(VfioFeature.PciVfToken, VfioFeatureFlags.Set, new byte[2 * Cmd.Megabyte], [])).Errno);
            c.Reset();
        });

    [Fact]
    public void Report_LongerThanAMessage_IsRefusedHere() => FakeServer.Talk(
        static s => s.AwaitEnd(),
        static c => Assert.Equal(Errno.EMSGSIZE, Assert.Throws<VfioException>(() => c.ReportDmaLogging(0, 1ul << 40, 4096)).Errno));
}
