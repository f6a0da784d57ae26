using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

public sealed class NvmeNamespaceTests : IDisposable
{
    private const int Blocks = 1024;
    private const int MaxTransfer = 128 << 10;
    private const uint Fua = 1u << 30;
    private const uint Deac = 1u << 25;

    private readonly CheckedBacking _backing = new(Blocks * 512) { Blocks = true };
    private readonly NvmeNamespace _disk;

    public NvmeNamespaceTests()
    {
        _disk = new NvmeNamespace(_backing, 512, "S1");
        new Random(1).NextBytes(_backing.Content);
    }

    public void Dispose() => Assert.Equal(0, _backing.Outside);

    [Theory]
    [InlineData(0ul, 0u, NvmeStatus.Success)]
    [InlineData(1023ul, 0u, NvmeStatus.Success)]
    [InlineData(1020ul, 3u, NvmeStatus.Success)]
    [InlineData(1020ul, 4u, NvmeStatus.LbaOutOfRange)]
    [InlineData(1024ul, 0u, NvmeStatus.LbaOutOfRange)]
    [InlineData(0ul, 1024u, NvmeStatus.LbaOutOfRange)]
    [InlineData(ulong.MaxValue, 0u, NvmeStatus.LbaOutOfRange)]
    [InlineData(ulong.MaxValue, 65535u, NvmeStatus.LbaOutOfRange)]
    [InlineData(ulong.MaxValue - 65534, 65535u, NvmeStatus.LbaOutOfRange)]
    [InlineData(1ul << 55, 0u, NvmeStatus.LbaOutOfRange)]
    [InlineData(0ul, 255u, NvmeStatus.Success)]
    [InlineData(0ul, 256u, NvmeStatus.InvalidField)]
    public void Range_OfEveryCommandWithBlocks_IsCheckedWithoutWrapping(ulong first, uint count, NvmeStatus expected)
    {
        foreach (byte opcode in new byte[] { 1, 2, 5, 8 })
        {
            NvmeStatus status = Plan(opcode, first, count, out NvmeTransfer transfer);

            // Write zeroes moves no data, so the limit of a transfer is none of it.
            Assert.Equal(opcode == 8 && expected == NvmeStatus.InvalidField ? NvmeStatus.Success : expected, status);
            if (status == NvmeStatus.Success)
            {
                Assert.Equal((first * 512, (count + 1ul) * 512), (transfer.Offset, transfer.Length));
                Assert.Equal(opcode == 8 ? 0 : (int)(count + 1) * 512, transfer.DataLength);
            }
        }
    }

    [Theory]
    [InlineData(4)]
    [InlineData(0x0c)]
    [InlineData(0x0d)]
    [InlineData(0x19)]
    [InlineData(0x7f)]
    [InlineData(0xff)]
    public void Opcode_NotOffered_IsInvalid(byte opcode) => Assert.Equal(NvmeStatus.InvalidOpcode, Plan(opcode, 0, 0, out _));

    [Theory]
    [InlineData(0u)]
    [InlineData(2u)]
    [InlineData(0xffffffffu)]
    public void Namespace_Another_IsRefusedButFlushOfAllIsNot(uint id)
    {
        foreach (byte opcode in new byte[] { 0, 1, 2, 5, 8, 9 })
        {
            bool flushOfAll = opcode == 0 && id == uint.MaxValue;
            Assert.Equal(
                flushOfAll ? NvmeStatus.Success : NvmeStatus.InvalidNamespace,
                _disk.Plan(new NvmeCommand { Opcode = opcode, NamespaceId = id }, MaxTransfer, false, out _));
        }
    }

    [Theory]
    [InlineData(0x01)]
    [InlineData(0x02)]
    [InlineData(0x03)]
    [InlineData(0x40)]
    [InlineData(0x80)]
    [InlineData(0xc0)]
    public void Flags_FusedOrSgl_AreAnInvalidField(byte flags) => Assert.Equal(
        NvmeStatus.InvalidField,
        _disk.Plan(new NvmeCommand { Opcode = 2, NamespaceId = 1, Flags = (NvmeCommandFlags)flags }, MaxTransfer, false, out _));

    [Fact]
    public void WriteReadCompare_InPieces_AreTheBlocks()
    {
        byte[] data = new byte[2048];
        new Random(2).NextBytes(data);
        byte[] before = [.. _backing.Content];
        NvmeTransfer write = Planned(1, 10, 3);
        Assert.Equal(NvmeStatus.Success, _disk.Write(write, 0, data.AsSpan(0, 100)));
        Assert.Equal(NvmeStatus.Success, _disk.Write(write, 100, data.AsSpan(100)));
        Assert.Equal(NvmeStatus.Success, _disk.Finish(write));
        data.CopyTo(before, 5120);
        Assert.Equal(before, _backing.Content);
        Assert.Equal(0, _backing.FlushCount);

        byte[] read = new byte[2048];
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Planned(2, 10, 3), read));
        Assert.Equal(data, read);
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Planned(5, 10, 3), read));
        read[2047] ^= 1;
        Assert.Equal(NvmeStatus.CompareFailure, _disk.Execute(Planned(5, 10, 3), read));
        Assert.Equal(before, _backing.Content);
    }

    [Fact]
    public void Compare_OfMoreThanAPage_SeesTheLastByte()
    {
        byte[] data = _backing.Content[..MaxTransfer];
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Planned(5, 0, 255), data));
        data[^1] ^= 0x80;
        Assert.Equal(NvmeStatus.CompareFailure, _disk.Execute(Planned(5, 0, 255), data));
    }

    [Fact]
    public void Piece_BeyondTheCommand_IsAnInternalErrorAndTouchesNothing()
    {
        NvmeTransfer write = Planned(1, 10, 0);
        byte[] before = [.. _backing.Content];
        Assert.Equal(NvmeStatus.InternalError, _disk.Write(write, 1, new byte[512]));
        Assert.Equal(NvmeStatus.InternalError, _disk.Write(write, -1, new byte[1]));
        Assert.Equal(NvmeStatus.InternalError, _disk.Read(write, 512, new byte[1]));
        Assert.Equal(before, _backing.Content);
    }

    [Theory]
    [InlineData(0u, false)]
    [InlineData(Fua, true)]
    public void WriteZeroes_Blocks_AreZeroAndNoOthers(uint flags, bool flushed)
    {
        byte[] expected = [.. _backing.Content];
        expected.AsSpan(512, 600 * 512).Clear();
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Planned(8, 1, 599 | flags), []));
        Assert.Equal(expected, _backing.Content);
        Assert.Equal(flushed ? 1 : 0, _backing.FlushCount);
        Assert.True(Planned(8, 1, Deac).Deallocate);
        Assert.False(Planned(8, 1, 0).Deallocate);
    }

    [Fact]
    public void FlushAndForceUnitAccess_WithACache_FlushAfterTheData()
    {
        byte[] block = new byte[512];
        _disk.Execute(Planned(1, 0, 0), block);
        Assert.Equal(0, _backing.FlushCount);
        _disk.Execute(Planned(1, 0, Fua), block);
        Assert.Equal(1, _backing.FlushCount);
        _disk.Execute(Planned(2, 0, Fua), block);
        Assert.Equal(2, _backing.FlushCount);
        _disk.Execute(Planned(0, 0, 0), []);
        Assert.Equal(3, _backing.FlushCount);
        Assert.Equal(NvmeStatus.Success, _disk.Plan(Command(1, 0, 0), MaxTransfer, writeThrough: true, out NvmeTransfer through));
        _disk.Execute(through, block);
        Assert.Equal(4, _backing.FlushCount);
        Assert.True(_disk.MayBlock(Planned(2, 0, 0)));
    }

    [Fact]
    public void ForceUnitAccess_WithoutACache_CostsNothing()
    {
        var disk = new NvmeNamespace(new CheckedBacking(4096), 512, "S1");
        Assert.Equal(NvmeStatus.Success, disk.Plan(Command(1, 0, Fua), MaxTransfer, true, out NvmeTransfer write));
        Assert.False(write.Durable);
        Assert.False(disk.MayBlock(write));
    }

    [Fact]
    public void Deallocate_Ranges_AreZeroWhenTheCommandSaysSo()
    {
        byte[] ranges = Ranges((1, 2), (1000, 24), (5, 0));
        byte[] expected = [.. _backing.Content];
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Dataset(3, deallocate: false), ranges));
        Assert.Equal(expected, _backing.Content);
        expected.AsSpan(512, 1024).Clear();
        expected.AsSpan(1000 * 512).Clear();
        Assert.Equal(NvmeStatus.Success, _disk.Execute(Dataset(3, deallocate: true), ranges));
        Assert.Equal(expected, _backing.Content);
    }

    [Theory]
    [InlineData(1024ul, 1u)]
    [InlineData(1020ul, 5u)]
    [InlineData(0ul, 0xffffffffu)]
    [InlineData(ulong.MaxValue, 2u)]
    [InlineData(ulong.MaxValue, 0xffffffffu)]
    public void Deallocate_OneRangeOutside_ChangesNothingAtAll(ulong first, uint count)
    {
        byte[] before = [.. _backing.Content];
        Assert.Equal(NvmeStatus.LbaOutOfRange, _disk.Execute(Dataset(2, deallocate: true), Ranges((1, 2), (first, count))));
        Assert.Equal(before, _backing.Content);
    }

    [Fact]
    public void Deallocate_WhereRoomCannotBeGivenBack_LeavesTheBlocks()
    {
        var backing = new CheckedBacking(4096) { CanDeallocate = false };
        backing.Content.AsSpan().Fill(7);
        var disk = new NvmeNamespace(backing, 512, "S1");
        NvmeCommand command = Command(9, 0, 0);
        command.Cdw11 = 4;
        Assert.Equal(NvmeStatus.Success, disk.Plan(command, MaxTransfer, false, out NvmeTransfer transfer));
        Assert.Equal(NvmeStatus.Success, disk.Execute(transfer, Ranges((0, 8))));
        Assert.All(backing.Content, b => Assert.Equal(7, b));
    }

    [Fact]
    public void ReadOnly_Writes_AreRefusedAndReadsAreNot()
    {
        var backing = new CheckedBacking(4096) { IsReadOnly = true, Blocks = true };
        var disk = new NvmeNamespace(backing, 512, "S1");
        NvmeCommand deallocate = Command(9, 0, 0);
        deallocate.Cdw11 = 4;
        Assert.Equal(NvmeStatus.NamespaceWriteProtected, disk.Plan(Command(1, 0, 0), MaxTransfer, false, out _));
        Assert.Equal(NvmeStatus.NamespaceWriteProtected, disk.Plan(Command(8, 0, 0), MaxTransfer, false, out _));
        Assert.Equal(NvmeStatus.NamespaceWriteProtected, disk.Plan(deallocate, MaxTransfer, false, out _));
        foreach (byte opcode in new byte[] { 0, 2, 5, 9 })
        {
            Assert.Equal(NvmeStatus.Success, disk.Plan(Command(opcode, 0, 0), MaxTransfer, false, out _));
        }
    }

    [Theory]
    [InlineData(Errno.EIO, NvmeStatus.UnrecoveredReadError, NvmeStatus.WriteFault)]
    [InlineData(Errno.ENOSPC, NvmeStatus.CapacityExceeded, NvmeStatus.CapacityExceeded)]
    [InlineData(Errno.EROFS, NvmeStatus.NamespaceWriteProtected, NvmeStatus.NamespaceWriteProtected)]
    [InlineData(Errno.EBUSY, NvmeStatus.NamespaceNotReady, NvmeStatus.NamespaceNotReady)]
    [InlineData(Errno.EFAULT, NvmeStatus.UnrecoveredReadError, NvmeStatus.WriteFault)]
    public void Error_OfTheBacking_IsAStatus(Errno error, NvmeStatus read, NvmeStatus write)
    {
        _backing.Answer = error;
        byte[] block = new byte[512];
        Assert.Equal(read, _disk.Execute(Planned(2, 0, 0), block));
        Assert.Equal(read, _disk.Execute(Planned(5, 0, 0), block));
        Assert.Equal(write, _disk.Execute(Planned(1, 0, 0), block));
        Assert.Equal(write, _disk.Execute(Planned(8, 0, 0), []));
        Assert.Equal(write, _disk.Execute(Planned(0, 0, 0), []));
        Assert.Equal(write, _disk.Execute(Dataset(1, deallocate: true), Ranges((0, 1))));
    }

    [Fact]
    public void Commands_PlannedAndExecuted_AllocateNothing()
    {
        using var memory = new MemoryNvmeBacking(1 << 20);
        var disk = new NvmeNamespace(memory, 512, "S1");
        byte[] data = new byte[4096];
        NvmeStatus worst = NvmeStatus.Success;
        Assert.Equal(0, AllocatedBytes.In(300, round =>
        {
            foreach (byte opcode in (ReadOnlySpan<byte>)[0, 1, 2, 5, 8])
            {
                worst |= disk.Plan(Command(opcode, (ulong)round, 7), MaxTransfer, false, out NvmeTransfer transfer);
                worst |= disk.Execute(transfer, data);
            }
        }));
        Assert.Equal(NvmeStatus.Success, worst);
    }

    private static byte[] Ranges(params (ulong First, uint Count)[] ranges) => MemoryMarshal.AsBytes<NvmeDatasetRange>(
        ranges.Select(r => new NvmeDatasetRange { StartingLba = r.First, Blocks = r.Count }).ToArray()).ToArray();

    private static NvmeCommand Command(byte opcode, ulong first, uint dword12) =>
        new() { Opcode = opcode, NamespaceId = 1, StartingLba = opcode is 0 or 9 ? 0 : first, Cdw12 = dword12 };

    private NvmeStatus Plan(byte opcode, ulong first, uint dword12, out NvmeTransfer transfer) =>
        _disk.Plan(Command(opcode, first, dword12), MaxTransfer, false, out transfer);

    private NvmeTransfer Planned(byte opcode, ulong first, uint dword12)
    {
        Assert.Equal(NvmeStatus.Success, Plan(opcode, first, dword12, out NvmeTransfer transfer));
        return transfer;
    }

    private NvmeTransfer Dataset(int ranges, bool deallocate)
    {
        NvmeCommand command = new() { Opcode = 9, NamespaceId = 1, Cdw10 = (uint)ranges - 1, Cdw11 = deallocate ? 4u : 3u };
        Assert.Equal(NvmeStatus.Success, _disk.Plan(command, MaxTransfer, false, out NvmeTransfer transfer));
        Assert.Equal(ranges * 16, transfer.DataLength);
        return transfer;
    }
}
