using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;

namespace Penstock.Devices.Tests;

/// <summary>Resets, deletions and shutdowns while the disk is busy.</summary>
public sealed class NvmeResetTests
{
    private static readonly NvmeCommand Flush = NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0);

    [Fact]
    public void Disable_WithTheDiskBusy_AnswersAtOnceAndIsNotReadyOnceTheDiskHasEnded()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        slow.Close();
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, page));
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the command does not begin");
        rig.Write32(NvmeRegisters.Configuration, 0x00460000);
        Assert.True(rig.Status.Ready);
        rig.At(page, NvmeRig.Page).Fill(0x5a);
        slow.Open();
        NvmeRig.WaitUntil(() => !rig.Status.Ready, "the controller does not stop");
        Assert.False(queue.CompletionRing.TryTake(out _));
        Assert.False(rig.At(page, NvmeRig.Page).ContainsAnyExcept((byte)0x5a));
        rig.Enable();
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, page));
    }

    [Fact]
    public void Enable_WithTheDiskStillBusy_WaitsForIt()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        slow.Close();
        rig.CreatePair().Submit(NvmeRig.Io(NvmeIoOpcode.Write, 0, 8, rig.Pages()));
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the command does not begin");
        rig.Write32(NvmeRegisters.Configuration, 0x00460000);
        rig.Write32(NvmeRegisters.Configuration, 0x00460001);
        Assert.False(rig.Status.Ready);
        slow.Open();
        NvmeRig.WaitUntil(() => rig.Status.Ready, "the controller does not become ready");
        rig.Disable();
        rig.Enable();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void FunctionReset_WithTheDiskBusy_TouchesNoMemoryAfterwards(bool functionLevel)
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair(entries: 64);
        ulong pages = rig.Pages(40);
        slow.Close();
        for (int i = 0; i < 40; i++)
        {
            queue.Submit(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, pages + (ulong)(i * NvmeRig.Page)));
        }

        NvmeRig.WaitUntil(() => slow.Waiting == 8, "the commands do not begin");
        if (functionLevel)
        {
            rig.ResetFunction();
        }
        else
        {
            rig.File.Reset();
        }

        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
        rig.At(pages, 40 * NvmeRig.Page).Fill(0x5a);
        slow.Open();
        rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        rig.Enable();
        rig.CreatePair().Ok(Flush);
        Assert.False(rig.At(pages, 40 * NvmeRig.Page).ContainsAnyExcept((byte)0x5a));
        Assert.False(queue.CompletionRing.TryTake(out _, ring: false));
    }

    /// <summary>A host that resets the controller in the middle of its own commands, again and again.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Reset_UnderLoad_AgainAndAgain_LeavesAWorkingController(bool slow)
    {
        using var rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null);
        ulong page = rig.Pages();
        var random = new Random(3);
        for (int round = 0; round < 60; round++)
        {
            rig.Forget(page + NvmeRig.Page);
            rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
            rig.Enable();
            NvmeHostQueue queue = rig.CreatePair();
            for (int i = random.Next(60); i >= 0; i--)
            {
                queue.Submit(NvmeRig.Io(random.Next(2) == 0 ? NvmeIoOpcode.Read : NvmeIoOpcode.Write, 0, 8, page));
            }

            switch (round % 3)
            {
                case 0:
                    rig.Disable();
                    break;
                case 1:
                    rig.ResetFunction();
                    break;
                default:
                    rig.File.Reset();
                    break;
            }
        }
    }

    [Fact]
    public void DeleteSubmissionQueue_WithTheDiskBusy_CompletesAfterTheCommands()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        slow.Close();
        for (int i = 0; i < 20; i++)
        {
            queue.Submit(Flush);
        }

        NvmeRig.WaitUntil(() => slow.Waiting == 8, "the commands do not begin");
        ushort delete = rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = 1 });
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        Assert.Equal(NvmeStatus.InvalidQueueId, rig.AdminStatus(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = 1 }));
        Assert.Equal(NvmeStatus.InvalidQueueDeletion, rig.AdminStatus(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 1 }));
        slow.Open();
        NvmeCompletion deleted = rig.Admin.CompletionRing.Take();
        Assert.Equal((delete, NvmeStatus.Success), (deleted.CommandId, deleted.Status));
        int completed = 0;
        while (queue.CompletionRing.TryTake(out NvmeCompletion completion))
        {
            Assert.Equal(NvmeStatus.Success, completion.Status);
            completed++;
        }

        Assert.InRange(completed, 8, 20);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 1 });
        rig.CreatePair().Ok(Flush);
    }

    [Fact]
    public void Shutdown_WithTheDiskBusy_AnswersFirstAndFlushes()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        slow.Close();
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, rig.Pages()));
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the command does not begin");
        rig.Write32(NvmeRegisters.Configuration, 0x00464001);
        Assert.Equal(NvmeShutdownStatus.Occurring, rig.Status.ShutdownStatus);
        slow.Open();
        NvmeRig.WaitUntil(() => rig.Status.ShutdownStatus == NvmeShutdownStatus.Complete, "the shutdown does not end");
        Assert.Equal(1, slow.FlushCount);
        Assert.Equal(NvmeStatus.Success, queue.CompletionRing.Take().Status);
        rig.Disable();
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
        rig.Enable();
    }

    [Fact]
    public void Shutdown_ThenReset_WithTheFlushUnderWay_WaitsForIt()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        slow.Close();
        rig.Write32(NvmeRegisters.Configuration, 0x00464001);
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the flush does not begin");
        rig.Write32(NvmeRegisters.Configuration, 0x00460000);
        slow.Open();
        NvmeRig.WaitUntil(() => !rig.Status.Ready, "the controller does not stop");
        rig.Enable();
        rig.Write32(NvmeRegisters.Configuration, 0x00464001);
        NvmeRig.WaitUntil(() => rig.Status.ShutdownStatus == NvmeShutdownStatus.Complete, "the shutdown does not end");
        Assert.Equal(2, slow.FlushCount);
    }

    [Fact]
    public void Shutdown_OfAControllerThatIsDisabled_FlushesWhatWasWrittenBefore()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, rig.Pages()));
        rig.Disable();
        rig.Write32(NvmeRegisters.Configuration, new NvmeConfiguration { Shutdown = NvmeShutdown.Normal }.Value);
        NvmeRig.WaitUntil(() => rig.Status.ShutdownStatus == NvmeShutdownStatus.Complete, "the shutdown does not end");
        Assert.Equal(1, slow.FlushCount);
        rig.Enable();
        Assert.Equal(NvmeShutdownStatus.Normal, rig.Status.ShutdownStatus);
    }

    [Fact]
    public void Shutdown_OfAControllerThatCannotGoOn_Completes()
    {
        var slow = new NvmeGatedBacking();
        using var rig = new NvmeRig(backing: slow);
        rig.Write32(NvmeRegisters.Configuration, NvmeRig.Enabled.Value);
        Assert.True(rig.Status.Fatal);
        rig.Write32(NvmeRegisters.Configuration, (NvmeRig.Enabled with { Shutdown = NvmeShutdown.Normal }).Value);
        NvmeRig.WaitUntil(() => rig.Status.ShutdownStatus == NvmeShutdownStatus.Complete, "the shutdown does not end");
        Assert.Equal(1, slow.FlushCount);
    }

    [Fact]
    public void Close_WithTheDiskBusy_EndsWithoutIt()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        slow.Close();
        NvmeHostQueue queue = rig.CreatePair();
        for (int i = 0; i < 40; i++)
        {
            queue.Submit(Flush);
        }

        NvmeRig.WaitUntil(() => slow.Waiting == 8, "the commands do not begin");
        rig.File.Dispose();
        slow.Open();
    }
}
