using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.VfioUser.Tests.Client;

/// <summary>MIG_DATA_READ and MIG_DATA_WRITE in the client's role.</summary>
public sealed class ClientMigrationDataTests
{
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

    [Fact]
    public void DataWrite_OfNothing_SendsNothing() => FakeServer.Talk(
        static s => s.Reply(s.Expect(Cmd.Reset), []),
        static c =>
        {
            c.WriteMigrationData([]);
            c.Reset();
        });

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.ENODEV)]
    [InlineData(Errno.EIO)]
    public void Data_Refused_IsTheError(Errno errno) => FakeServer.Talk(
        s =>
        {
            s.Refuse(s.Expect(Cmd.MigRead), errno);
            s.Refuse(s.Expect(Cmd.MigWrite), errno);
            s.Reply(s.Expect(Cmd.Reset), []);
        },
        c =>
        {
            Assert.Equal(errno, Assert.Throws<VfioException>(() => c.ReadMigrationData(new byte[4])).Errno);
            Assert.Equal(errno, Assert.Throws<VfioException>(() => c.WriteMigrationData([1])).Errno);
            c.Reset();
        });
}
