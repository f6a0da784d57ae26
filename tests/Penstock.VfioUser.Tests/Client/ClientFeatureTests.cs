using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests;

/// <summary>DEVICE_FEATURE, MIG_DATA_READ and MIG_DATA_WRITE in the client's role.</summary>
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

    [Fact]
    public void PrecopyInfo_IsAStructureOfItsOwn() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.PrecopyInfo, new Payload().U32(24, 0).U64(0, 0)), new Payload().U32(24, 0).U64(7, 8)),
        static c => Assert.Equal((7ul, 8ul), (c.GetPrecopyInfo() is var i ? i.InitialBytes : 0, i.DirtyBytes)));

    [Fact]
    public void DataRead_AsksForAsMuchAsFits() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.MigRead, MigrationWire.MigRead(100)), new Payload().U32(11, 3).Bytes([1, 2, 3]));
            s.Reply(s.Expect(Cmd.MigRead, MigrationWire.MigRead(100)), new Payload().U32(8, 0));
            s.Refuse(s.Expect(Cmd.MigRead), Errno.ENOMSG);
        },
        static c =>
        {
            byte[] data = new byte[100];
            Assert.Equal(3, c.ReadMigrationData(data));
            Assert.Equal([1, 2, 3], data[..3]);
            Assert.Equal(0, c.ReadMigrationData(data));
            Assert.Equal(0, c.ReadMigrationData(data));
        });

    [Fact]
    public void DataRead_ServersLimit_BoundsIt() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.MigRead, MigrationWire.MigRead(64)), new Payload().U32(9, 1).Bytes([1])),
        static c => Assert.Equal(1, c.ReadMigrationData(new byte[1000])),
        json: """{"capabilities":{"max_data_xfer_size":64}}""");

    [Fact]
    public void DataRead_FilledUpAsTheLibraryDoes_TheSizeCounts() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.MigRead), [.. new Payload().U32(108, 3).Bytes([1, 2, 3]).ToBytes(), .. new byte[97]]),
        static c => Assert.Equal(3, c.ReadMigrationData(new byte[100])));

    [Theory]
    [InlineData(4u, 3)]
    [InlineData(uint.MaxValue, 3)]
    [InlineData(1u, 0)]
    public void DataRead_SizeBeyondTheData_IsRefused(uint size, int data) => FakeServer.Talk(
        s => s.Reply(s.Expect(Cmd.MigRead), [.. new Payload().U32(8 + size, size).ToBytes(), .. new byte[data]]),
        static c => Assert.Equal(Errno.EPROTO, Assert.Throws<VfioException>(() => c.ReadMigrationData(new byte[100])).Errno));

    [Fact]
    public void DataWrite_ServersLimit_CutsIt() => FakeServer.Talk(
        static s =>
        {
            s.Reply(s.Expect(Cmd.MigWrite, MigrationWire.MigWrite([1, 2, 3, 4])), []);
            s.Reply(s.Expect(Cmd.MigWrite, MigrationWire.MigWrite([5])), new Payload().U32(9, 1));
        },
        static c => c.WriteMigrationData([1, 2, 3, 4, 5]),
        json: """{"capabilities":{"max_data_xfer_size":4}}""");
}
