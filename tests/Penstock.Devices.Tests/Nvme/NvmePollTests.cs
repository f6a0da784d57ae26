using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Doorbells that hosts map and the controller looks at all the time.</summary>
public sealed class NvmePollTests
{
    private static readonly NvmeCommand Flush = NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0);

    [Fact]
    public void Bar_LetsUsersMapTheDoorbellsOnly()
    {
        using NvmeRig rig = Make();
        VfioRegionInfo info = rig.File.GetRegionInfo(VfioRegions.Bar0);
        Assert.True((info.Flags & VfioRegionFlags.Mmap) != 0);
        VfioRegionArea area = Assert.Single(info.MappableAreas!);
        Assert.Equal((0x1000ul, 0x1000ul), (area.Offset, area.Size));
    }

    [Fact]
    public unsafe void Commands_RungInMemory_AreDone()
    {
        using NvmeRig rig = Make();
        var page = (uint*)(rig.Disk.Description.Bars[0].Memory!.DirectAddress + (nint)NvmeRegisters.Doorbells);
        rig.Enable();
        rig.Admin.RingTail = tail => Volatile.Write(ref page[0], tail);
        rig.Admin.CompletionRing.RingHead = head => Volatile.Write(ref page[1], head);
        NvmeHostQueue queue = rig.CreatePair(3, 16);
        queue.RingTail = tail => Volatile.Write(ref page[6], tail);
        queue.CompletionRing.RingHead = head => Volatile.Write(ref page[7], head);
        for (int i = 0; i < 1000; i++)
        {
            queue.Ok(Flush);
        }

        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = 3 });
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 3 });
        rig.CreatePair(3, 16).Ok(Flush);
    }

    [Fact]
    public void Commands_RungByAccess_AreDoneToo()
    {
        using NvmeRig rig = Make().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        for (int i = 0; i < 200; i++)
        {
            queue.Ok(Flush);
        }

        rig.Disable();
        rig.Enable();
        rig.CreatePair().Ok(Flush);
    }

    [Fact]
    public void ShadowDoorbells_AreNotOffered()
    {
        using NvmeRig rig = Make().Enable();
        ulong page = rig.Pages(2);
        Assert.Equal(NvmeStatus.InvalidOpcode, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig, Prp1 = page, Prp2 = page + NvmeRig.Page,
        }));
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Cdw10 = 1, Prp1 = page });
        Assert.Equal(0, MemoryMarshal.Read<ushort>(rig.At(page + NvmeIdentifyController.AdminCommands, 2)) & NvmeIdentifyController.OacsDoorbellBuffer);
    }

    [Fact]
    public void Migration_IsNotOffered()
    {
        using NvmeRig rig = Make();
        Assert.Equal(Errno.ENOTTY, Assert.Throws<VfioException>(() => rig.File.SetMigrationState(MigrationState.Stop)).Errno);
    }

    private static NvmeRig Make() => new(new NvmeOptions { Poll = true });
}
