using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

public sealed class NvmeLogPagesTests : IDisposable
{
    private const uint All = 0xffffffff;

    private readonly CheckedBacking _backing = new(1 << 20);
    private readonly ManualTime _time = new();
    private readonly NvmeFeatures _features;
    private readonly NvmeLogPages _logs;

    public NvmeLogPagesTests()
    {
        var identity = new NvmeIdentity { SerialNumber = "S1" };
        var disk = new NvmeNamespace(_backing, 512, "S1");
        _features = new NvmeFeatures(identity, disk);
        _logs = new NvmeLogPages(identity, disk, _features, _time);
    }

    public void Dispose() => _backing.Dispose();

    [Theory]
    [InlineData(0, 1024)]
    [InlineData(1, 4096)]
    [InlineData(2, 512)]
    [InlineData(3, 512)]
    [InlineData(4, 4096)]
    [InlineData(5, 4096)]
    public void Offset_UpToTheEnd_IsTaken(int log, int size)
    {
        Assert.Equal(NvmeStatus.Success, Check(log, 4, 4));
        Assert.Equal(NvmeStatus.Success, Check(log, 4, (ulong)size));
        Assert.Equal(NvmeStatus.InvalidField, Check(log, 4, (ulong)size + 4));
        Assert.Equal(NvmeStatus.InvalidField, Check(log, 4, 2));
        Assert.Equal(NvmeStatus.InvalidField, Check(log, 4, ulong.MaxValue - 3));
        Assert.Equal(new byte[8], Read(log, 8, (ulong)size));
    }

    [Theory]
    [InlineData(6)]
    [InlineData(0x0c)]
    [InlineData(0x81)]
    public void Log_NotKnown_IsRefused(int log) => Assert.Equal(NvmeStatus.InvalidLogPage, Check(log, 4, 0));

    [Fact]
    public void Length_OverATransfer_IsRefusedAndBehindTheEndThereAreZeroes()
    {
        Assert.Equal(NvmeStatus.Success, Check(1, 128 << 10, 0));
        Assert.Equal(NvmeStatus.InvalidField, Check(1, (128 << 10) + 4, 0));
        NvmeCommand all = Command(1, 4, 0);
        all.Cdw10 |= 0xffff0000;
        all.Cdw11 = 0xffff;
        Assert.Equal(NvmeStatus.InvalidField, _logs.Check(all, out _));
        byte[] smart = Read(2, 1024, 0);
        Assert.Equal(new byte[512], smart[512..]);
    }

    [Theory]
    [InlineData(0u, NvmeStatus.Success)]
    [InlineData(All, NvmeStatus.Success)]
    [InlineData(1u, NvmeStatus.InvalidField)]
    [InlineData(2u, NvmeStatus.InvalidNamespace)]
    public void Namespace_OfALog_IsNone(uint id, NvmeStatus expected)
    {
        NvmeCommand command = Command(2, 512, 0);
        command.NamespaceId = id;
        Assert.Equal(expected, _logs.Check(command, out _));
    }

    [Fact]
    public void Smart_Counters_StandWhereHostsLook()
    {
        NvmeCounters counters = _logs.Counters;
        (counters.SectorsRead, counters.SectorsWritten, counters.Reads, counters.Writes) = (1001, 2000, 3, 4);
        (counters.MediaErrors, counters.UnsafeShutdowns) = (5, 6);
        _logs.Errors.Add(1, default, NvmeStatus.LbaOutOfRange);
        _time.Advance(TimeSpan.FromHours(7.5));
        byte[] page = Read(2, 512, 0);
        Assert.Equal(0, page[0]);
        Assert.Equal(298, BinaryPrimitives.ReadUInt16LittleEndian(page.AsSpan(1)));
        Assert.Equal((100, 10, 0), (page[3], page[4], page[5]));
        Assert.Equal(
            [2, 2, 3, 4, 0, 1, 7, 6, 5, 1],
            new[] { 32, 48, 64, 80, 96, 112, 128, 144, 160, 176 }.Select(o => (int)BinaryPrimitives.ReadUInt64LittleEndian(page.AsSpan(o))));
    }

    [Fact]
    public void Smart_TemperatureBeyondAThreshold_Warns()
    {
        Assert.Equal(NvmeStatus.Success, _features.Set(new NvmeCommand { Cdw10 = 4, Cdw11 = 290 }, [], false, out _));
        Assert.Equal(2, Read(2, 4, 0)[0]);
    }

    [Fact]
    public void Errors_MoreThanAreKept_AreTheNewestFirst()
    {
        for (ushort i = 1; i <= 70; i++)
        {
            _logs.Errors.Add(3, new NvmeCommand { CommandId = i, NamespaceId = 1, StartingLba = 1000ul + i }, NvmeStatus.LbaOutOfRange | NvmeStatus.DoNotRetry, 40);
        }

        byte[] page = Read(1, 4096, 0);
        for (int i = 0; i < 64; i++)
        {
            ReadOnlySpan<byte> entry = page.AsSpan(64 * i, 64);
            Assert.Equal(70ul - (ulong)i, BinaryPrimitives.ReadUInt64LittleEndian(entry));
            Assert.Equal(3, BinaryPrimitives.ReadUInt16LittleEndian(entry[8..]));
            Assert.Equal(70 - i, BinaryPrimitives.ReadUInt16LittleEndian(entry[10..]));
            Assert.Equal(0x8100, BinaryPrimitives.ReadUInt16LittleEndian(entry[12..]));
            Assert.Equal(40, BinaryPrimitives.ReadUInt16LittleEndian(entry[14..]));
            Assert.Equal(1070ul - (ulong)i, BinaryPrimitives.ReadUInt64LittleEndian(entry[16..]));
            Assert.Equal(1u, BinaryPrimitives.ReadUInt32LittleEndian(entry[24..]));
        }

        Assert.Equal(page[100..180], Read(1, 80, 100));
        _logs.Errors.Clear();
        Assert.Equal(new byte[4096], Read(1, 4096, 0));
    }

    [Fact]
    public void Firmware_OneSlot_IsActive()
    {
        byte[] page = Read(3, 512, 0);
        Assert.Equal(1, page[0]);
        Assert.Equal("1.0     "u8.ToArray(), page[8..16]);
        Assert.Equal(new byte[496], page[16..]);
    }

    [Fact]
    public void ChangedNamespaces_ReadWithoutRetaining_AreForgotten()
    {
        Assert.Equal(new byte[8], Read(4, 8, 0));
        _logs.NamespaceChanged = true;
        NvmeCommand retain = Command(4, 8, 0);
        retain.Cdw10 |= 1 << 15;
        byte[] page = new byte[8];
        _logs.Read(retain, page);
        Assert.Equal([1, 0, 0, 0, 0, 0, 0, 0], page);
        Assert.Equal([1, 0, 0, 0, 0, 0, 0, 0], Read(4, 8, 0));
        Assert.Equal(new byte[8], Read(4, 8, 0));
    }

    [Fact]
    public void Effects_Commands_AreThoseThatAreCarriedOut()
    {
        byte[] page = Read(5, 4096, 0);
        int[] admin = [.. Enumerable.Range(0, 256).Where(o => page[4 * o] != 0)];
        int[] io = [.. Enumerable.Range(0, 256).Where(o => page[1024 + (4 * o)] != 0)];
        Assert.Equal([0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 0x18, 0x7c], admin);
        Assert.Equal([0, 1, 2, 5, 8, 9], io);
        Assert.Equal((3, 1), (page[1024 + 4], page[1024 + 8]));
        Assert.Equal([0, 1, 2, 3, 4, 5], Enumerable.Range(0, 256).Where(l => (Read(0, 1024, 0)[4 * l] & 1) != 0));
    }

    private static NvmeCommand Command(int log, int length, ulong offset) => new()
    {
        Opcode = 2,
        NamespaceId = All,
        Cdw10 = (uint)log | ((uint)((length / 4) - 1) << 16),
        Cdw11 = (uint)((length / 4) - 1) >> 16,
        Cdw12 = (uint)offset,
        Cdw13 = (uint)(offset >> 32),
    };

    private NvmeStatus Check(int log, int length, ulong offset) => _logs.Check(Command(log, length, offset), out _);

    private byte[] Read(int log, int length, ulong offset)
    {
        NvmeCommand command = Command(log, length, offset);
        Assert.Equal(NvmeStatus.Success, _logs.Check(command, out int wanted));
        Assert.Equal(length, wanted);
        byte[] data = new byte[length];
        data.AsSpan().Fill(0xaa);
        _logs.Read(command, data);
        return data;
    }
}
