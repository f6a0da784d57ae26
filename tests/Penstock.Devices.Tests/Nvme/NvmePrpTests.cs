using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Where a command's data is: PRPs of every shape, over one mapping and over many, and what is wrong with some.</summary>
public sealed class NvmePrpTests
{
    private const int Block = 512;
    private const int Most = 128 << 10;

    [Theory]
    [InlineData(0, 512)]
    [InlineData(0, 4096)]
    [InlineData(4, 512)]
    [InlineData(0xe00, 512)]
    [InlineData(0xe04, 512)]
    [InlineData(0xffc, 512)]
    [InlineData(0x800, 4096)]
    [InlineData(0, 8192)]
    [InlineData(0x100, 8192)]
    [InlineData(0, 12288)]
    [InlineData(0xffc, 65536)]
    [InlineData(0, Most)]
    [InlineData(0x200, Most)]
    [InlineData(0xffc, Most)]
    public void Data_AtAnOffset_GoesThereAndBack(int offset, int length)
    {
        foreach (bool slow in new[] { false, true })
        {
            using NvmeRig rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null).Enable();
            NvmeHostQueue queue = rig.CreatePair();
            byte[] data = RandomNumberGenerator.GetBytes(length);
            var from = new NvmeBuffer(rig, length, offset);
            var to = new NvmeBuffer(rig, length, offset);
            from.Set(data);
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 3, length / Block, from.Prp1, from.Prp2));
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 3, length / Block, to.Prp1, to.Prp2));
            Assert.Equal(data, to.Get());
            Assert.True(to.IsIntactAround());
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Compare, 3, length / Block, to.Prp1, to.Prp2));
        }
    }

    [Theory]
    [InlineData(0xff8)]
    [InlineData(0xff0)]
    [InlineData(0xf80)]
    [InlineData(0x008)]
    public void List_ThatCrossesItsPage_GoesOnInTheNext(int listOffset)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        byte[] data = RandomNumberGenerator.GetBytes(Most);
        var from = new NvmeBuffer(rig, Most, 0x10, listOffset);
        var to = new NvmeBuffer(rig, Most, 0x20, listOffset);
        from.Set(data);
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, Most / Block, from.Prp1, from.Prp2));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, Most / Block, to.Prp1, to.Prp2));
        Assert.Equal(data, to.Get());
    }

    [Theory]
    [InlineData(1, 8192, NvmeStatus.InvalidPrpOffset)]
    [InlineData(2, 512, NvmeStatus.InvalidPrpOffset)]
    public void FirstEntry_ThatIsNotDwordAligned_IsRefused(int offset, int length, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong page = rig.Pages(2);
        Assert.Equal(status, rig.CreatePair().Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, length / Block, page + (ulong)offset, page)));
    }

    [Theory]
    [InlineData(8192, 0ul, NvmeStatus.InvalidField)]
    [InlineData(12288, 0ul, NvmeStatus.InvalidField)]
    [InlineData(8192, 8ul, NvmeStatus.InvalidPrpOffset)]
    [InlineData(12288, 4ul, NvmeStatus.InvalidPrpOffset)]
    public void SecondEntry_ThatCannotBe_IsRefused(int length, ulong second, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong page = rig.Pages(2);
        ulong prp2 = second == 0 ? 0 : page + NvmeRig.Page + second;
        Assert.Equal(status, rig.CreatePair().Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, length / Block, page, prp2)));
    }

    [Fact]
    public void SecondEntry_OfADataThatFitsThePage_IsIgnored()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, rig.Pages(), 0xdead_beef_0000_0001));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public void ListEntry_WithAnOffset_IsRefused(int entry)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var buffer = new NvmeBuffer(rig, 12288, 0);
        MemoryMarshal.Cast<byte, ulong>(rig.At(buffer.Prp2, 16))[entry] += 8;
        Assert.Equal(NvmeStatus.InvalidPrpOffset, rig.CreatePair().Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, 24, buffer.Prp1, buffer.Prp2)));
    }

    [Fact]
    public void ListPointer_WithAnOffset_IsRefused()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var buffer = new NvmeBuffer(rig, Most, 0, 0xff0);
        MemoryMarshal.Cast<byte, ulong>(rig.At(buffer.Prp2, 16))[1] += 8;
        Assert.Equal(NvmeStatus.InvalidPrpOffset, rig.CreatePair().Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, Most / Block, buffer.Prp1, buffer.Prp2)));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Data_ThatIsNotMapped_IsATransferErrorThatMayBeTriedAgain(bool slow)
    {
        using NvmeRig rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        foreach (NvmeIoOpcode opcode in new[] { NvmeIoOpcode.Read, NvmeIoOpcode.Write, NvmeIoOpcode.Compare })
        {
            Assert.Equal(NvmeStatus.DataTransferError, queue.Run(NvmeRig.Io(opcode, 0, 1, 0x7000_0000)).Status);
            Assert.Equal(NvmeStatus.DataTransferError, queue.Run(NvmeRig.Io(opcode, 0, 16, page, 0x7000_0000)).Status);
            Assert.Equal(NvmeStatus.DataTransferError, queue.Run(NvmeRig.Io(opcode, 0, 24, page, 0x7000_0000)).Status);
            Assert.Equal(NvmeStatus.DataTransferError, queue.Run(NvmeRig.Io(opcode, 0, 1, 0xffff_ffff_ffff_f000)).Status);
        }

        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page));
    }

    [Fact]
    public void Data_PartlyNotMapped_WritesNoBlock()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        rig.At(page, 512).Fill(1);
        Assert.Equal(NvmeStatus.DataTransferError, queue.Status(NvmeRig.Io(NvmeIoOpcode.Write, 0, 16, page, 0x7000_0000)));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page));
        Assert.Equal(0, rig.At(page, 1)[0]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Memory_ThatDevicesMayOnlyRead_IsNotWritten(bool slow)
    {
        using NvmeRig rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null, map: false);
        ulong shown = rig.Pages();
        rig.Map(NvmeRig.Base, 0, NvmeRig.Page, DmaAccess.Read);
        rig.Map(NvmeRig.Base + NvmeRig.Page, NvmeRig.Page, NvmeRig.MemorySize - NvmeRig.Page);
        NvmeHostQueue queue = rig.Enable().CreatePair();
        rig.At(shown, 8).Fill(9);
        Assert.Equal(NvmeStatus.DataTransferError, queue.Status(NvmeRig.Io(NvmeIoOpcode.Read, 1, 1, shown)));
        Assert.Equal(9, rig.At(shown, 1)[0]);
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, shown));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Compare, 0, 1, shown));
        Assert.Equal(NvmeStatus.DataTransferError, rig.AdminStatus(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = shown, Cdw10 = 1 }));
    }

    [Fact]
    public void CompletionQueue_InMemoryThatDevicesMayOnlyRead_IsFatal()
    {
        using NvmeRig rig = new NvmeRig(map: false);
        ulong shown = rig.Pages();
        rig.Map(NvmeRig.Base, 0, NvmeRig.Page, DmaAccess.Read);
        rig.Map(NvmeRig.Base + NvmeRig.Page, NvmeRig.Page, NvmeRig.MemorySize - NvmeRig.Page);
        rig.Enable();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue, Prp1 = shown, Cdw10 = 1 | (15 << 16), Cdw11 = 1 });
        var queue = new NvmeHostQueue(rig, 1, 16, new NvmeHostRing(rig, 1, 16));
        rig.CreateSubmissionQueue(queue);
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
        NvmeRig.WaitUntil(() => rig.Status.Fatal, "the controller does not say that it cannot go on");
        rig.Disable();
        rig.Enable();
    }

    /// <summary>The same memory as many mappings of one page each: queues, lists and data span them.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Everything_OverMappingsOfAPage_Works(bool slow)
    {
        using NvmeRig rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null, map: false);
        for (ulong offset = 0; offset < 1 << 20; offset += NvmeRig.Page)
        {
            rig.Map(NvmeRig.Base + offset, offset, NvmeRig.Page);
        }

        NvmeHostQueue queue = rig.Enable(128).CreatePair(1, 512);
        byte[] data = RandomNumberGenerator.GetBytes(Most);
        var from = new NvmeBuffer(rig, Most, 0x204, 0xf80);
        var to = new NvmeBuffer(rig, Most, 0x408, 0xf88);
        from.Set(data);
        for (int lap = 0; lap < 600; lap++)
        {
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
        }

        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 9, Most / Block, from.Prp1, from.Prp2));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 9, Most / Block, to.Prp1, to.Prp2));
        Assert.Equal(data, to.Get());
        ulong page = rig.Pages(2);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Cdw10 = 1, Prp1 = page + 0x800, Prp2 = page + NvmeRig.Page });
        Assert.Equal(0x66, rig.At(page + 0x800 + NvmeIdentifyController.SubmissionEntrySize, 1)[0]);
    }
}
