using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Admin commands and their statuses.</summary>
public sealed class NvmeAdminTests
{
    [Theory]
    [InlineData(0x0d)]
    [InlineData(0x10)]
    [InlineData(0x11)]
    [InlineData(0x14)]
    [InlineData(0x15)]
    [InlineData(0x19)]
    [InlineData(0x1a)]
    [InlineData(0x1c)]
    [InlineData(0x7f)]
    [InlineData(0x80)]
    [InlineData(0x81)]
    [InlineData(0x82)]
    [InlineData(0x84)]
    [InlineData(0xc0)]
    [InlineData(0xff)]
    [InlineData(0x03)]
    public void Opcode_ThatIsNotOffered_IsInvalid(int opcode)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(NvmeStatus.InvalidOpcode | NvmeStatus.DoNotRetry, rig.AdminRun(new NvmeCommand { Opcode = (byte)opcode }).Status);
    }

    [Theory]
    [InlineData(NvmeCommandFlags.FusedFirst)]
    [InlineData(NvmeCommandFlags.FusedSecond)]
    [InlineData(NvmeCommandFlags.FuseMask)]
    [InlineData(NvmeCommandFlags.Sgl)]
    [InlineData(NvmeCommandFlags.SglMetadata)]
    [InlineData(NvmeCommandFlags.PointerMask)]
    public void Flags_ThatAreNotOffered_AreAnInvalidField(NvmeCommandFlags flags)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(NvmeStatus.InvalidField, rig.AdminStatus(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive, Flags = flags }));
    }

    [Fact]
    public void Identify_AcrossPagesWithoutASecondEntry_IsAnInvalidField()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(NvmeStatus.InvalidField, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = rig.Pages() + 0xc00, Cdw10 = (uint)NvmeIdentifyCns.Controller,
        }));
    }

    [Theory]
    [InlineData(0, 1u, NvmeStatus.Success)]
    [InlineData(0, 0u, NvmeStatus.InvalidNamespace)]
    [InlineData(0, 2u, NvmeStatus.InvalidNamespace)]
    [InlineData(0, 0xffffffffu, NvmeStatus.InvalidNamespace)]
    [InlineData(1, 0u, NvmeStatus.Success)]
    [InlineData(2, 0u, NvmeStatus.Success)]
    [InlineData(2, 0xfffffffeu, NvmeStatus.InvalidNamespace)]
    [InlineData(2, 0xffffffffu, NvmeStatus.InvalidNamespace)]
    [InlineData(3, 1u, NvmeStatus.Success)]
    [InlineData(0x20, 0u, NvmeStatus.InvalidField)]
    [InlineData(0xff, 0u, NvmeStatus.InvalidField)]
    public void Identify_Answers(int cns, uint nsid, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(status, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = rig.Pages(), Cdw10 = (uint)cns, NamespaceId = nsid,
        }));
    }

    [Fact]
    public void Identify_IntoMemoryThatIsNotMapped_IsATransferError()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(NvmeStatus.DataTransferError, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = 0x7000_0000, Cdw10 = 1,
        }));
    }

    [Theory]
    [InlineData(0x03, 4u, 1, NvmeStatus.Success)]
    [InlineData(0x03, 516u, 1, NvmeStatus.InvalidField)]
    [InlineData(0x03, 2u, 1, NvmeStatus.InvalidField)]
    [InlineData(0x01, 0u, 2048, NvmeStatus.Success)]
    [InlineData(0x02, 0u, 128, NvmeStatus.Success)]
    [InlineData(0x99, 0u, 1, NvmeStatus.InvalidLogPage)]
    public void GetLog_Answers(int log, uint offset, int dwords, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong pages = rig.Pages(2);
        Assert.Equal(status, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.GetLogPage,
            NamespaceId = uint.MaxValue,
            Prp1 = pages,
            Prp2 = pages + NvmeRig.Page,
            Cdw10 = (uint)(log | ((dwords - 1) << 16)),
            Cdw12 = offset,
        }));
    }

    [Fact]
    public void ErrorLog_ShowsTheCommandThatFailed()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong page = rig.Pages();
        rig.AdminRun(new NvmeCommand { Opcode = 0x99, NamespaceId = 77 });
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetLogPage, NamespaceId = uint.MaxValue, Prp1 = page, Cdw10 = 1 | (15 << 16) });
        Assert.Equal(1, rig.At(page, 64)[0]);
        Assert.Equal(77, rig.At(page, 64)[NvmeErrorLogEntry.NamespaceId]);
    }

    [Fact]
    public void Smart_CountsWhatWasMoved()
    {
        foreach (bool slow in new[] { false, true })
        {
            using NvmeRig rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null).Enable();
            NvmeHostQueue queue = rig.CreatePair();
            ulong page = rig.Pages();
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 8, page));
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, page));
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, page));
            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetLogPage, NamespaceId = uint.MaxValue, Prp1 = page, Cdw10 = 2 | (127 << 16) });
            Assert.Equal(1, rig.At(page, 512)[NvmeSmartLog.DataUnitsRead]);
            Assert.Equal(1, rig.At(page, 512)[NvmeSmartLog.DataUnitsWritten]);
            Assert.Equal(2, rig.At(page, 512)[NvmeSmartLog.HostReads]);
            Assert.Equal(1, rig.At(page, 512)[NvmeSmartLog.HostWrites]);
        }
    }

    [Fact]
    public void EventRequests_MoreThanMayBe_AreRefused()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var request = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest };
        for (int i = 0; i < 4; i++)
        {
            rig.Admin.Submit(request);
        }

        Assert.Equal(NvmeStatus.EventLimitExceeded, rig.AdminStatus(request));
    }

    [Fact]
    public void Event_OfATypeThatWasTold_WaitsForItsLogToBeRead()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var request = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest };
        var log = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetLogPage, NamespaceId = uint.MaxValue, Prp1 = rig.Pages(), Cdw10 = 1 | (15 << 16) };
        rig.Admin.Submit(request, 100);
        rig.Admin.Submit(request, 101);
        rig.Write32(NvmeRegisters.Doorbells + (2 * 9 * 4), 1);
        Assert.Equal(100, rig.Admin.CompletionRing.Take().CommandId);
        rig.Write32(NvmeRegisters.Doorbells + (2 * 9 * 4), 1);
        rig.AdminOk(log with { Cdw10 = log.Cdw10 | NvmeLogBits.RetainEvent });
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        Assert.False(rig.Admin.CompletionRing.TryTake(out _));
        rig.Admin.Submit(log);
        ushort[] ids = [rig.Admin.CompletionRing.Take().CommandId, rig.Admin.CompletionRing.Take().CommandId];
        Assert.Contains((ushort)101, ids);
    }

    [Fact]
    public void Temperature_BeyondAThreshold_IsToldWhenTheHostWantsIt()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ushort request = rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest }, 200);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.AsyncEventConfiguration, Cdw11 = 2 });
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.TemperatureThreshold, Cdw11 = 200 });
        NvmeCompletion[] both = [rig.Admin.CompletionRing.Take(), rig.Admin.CompletionRing.Take()];
        Assert.Equal(0x20101u, Assert.Single(both, c => c.CommandId == request).Result);
    }

    [Fact]
    public void Abort_OfARequestForEvents_EndsIt()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest }, 50);
        ushort abort = rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Abort, Cdw10 = 50u << 16 });
        NvmeCompletion first = rig.Admin.CompletionRing.Take();
        NvmeCompletion second = rig.Admin.CompletionRing.Take();
        Assert.Equal((50, NvmeStatus.AbortedByRequest), (first.CommandId, first.Status));
        Assert.Equal((abort, NvmeStatus.Success, 0u), (second.CommandId, second.Status, second.Result));
    }

    [Fact]
    public void Abort_OfACommandThatWaitsForTheDisk_EndsIt()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(new NvmeOptions { Workers = 1 }, slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        slow.Close();
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0), 7);
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the command does not begin");
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0), 8);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        uint inTime = 1;
        NvmeRig.WaitUntil(
            () => (inTime = rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Abort, Cdw10 = 1 | (8u << 16) })) == 0, "it is not aborted");
        Assert.Equal(1u, rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Abort, Cdw10 = 1 | (7u << 16) }));
        NvmeCompletion aborted = queue.CompletionRing.Take();
        Assert.Equal((8, NvmeStatus.AbortedByRequest), (aborted.CommandId, aborted.Status));
        slow.Open();
        Assert.Equal((7, NvmeStatus.Success), (queue.CompletionRing.Take() is var c ? c.CommandId : 0, NvmeStatus.Success));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(1u | (5u << 16))]
    [InlineData(63u)]
    [InlineData(0xffffffffu)]
    public void Abort_OfNothing_SaysThatNothingWasAborted(uint what)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        Assert.Equal(1u, rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Abort, Cdw10 = what }));
    }

    [Fact]
    public void NumberOfQueues_AfterTheFirstQueue_IsASequenceError()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var set = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.NumberOfQueues, Cdw11 = 0x00030003 };
        Assert.Equal(0x003f003fu, rig.AdminOk(set));
        rig.CreatePair();
        Assert.Equal(NvmeStatus.CommandSequenceError, rig.AdminStatus(set));
    }

    [Fact]
    public void WriteCache_TurnedOff_MakesEachWriteDurable()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, page));
        Assert.Equal(0, slow.FlushCount);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.VolatileWriteCache });
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, page));
        Assert.Equal(1, slow.FlushCount);
        rig.Disable();
        rig.Enable();
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, page));
        Assert.Equal(1, slow.FlushCount);
    }

    [Fact]
    public void HostBehavior_WithItsData_IsKept()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong page = rig.Pages();
        rig.At(page, 1)[0] = 1;
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.HostBehavior, Prp1 = page });
        rig.At(page, 1)[0] = 9;
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetFeatures, Cdw10 = (uint)NvmeFeatureId.HostBehavior, Prp1 = page });
        Assert.Equal(1, rig.At(page, 1)[0]);
        Assert.Equal(NvmeStatus.DataTransferError, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.HostBehavior, Prp1 = 0x7000_0000,
        }));
    }

    [Theory]
    [InlineData(Errno.EIO, NvmeStatus.WriteFault, NvmeStatus.UnrecoveredReadError)]
    [InlineData(Errno.ENOSPC, NvmeStatus.CapacityExceeded, NvmeStatus.CapacityExceeded)]
    [InlineData(Errno.EBUSY, NvmeStatus.NamespaceNotReady, NvmeStatus.NamespaceNotReady)]
    public void Disk_ThatFails_IsTheCommandsFailure(Errno errno, NvmeStatus write, NvmeStatus read)
    {
        var slow = new NvmeGatedBacking { Failure = errno };
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        Assert.Equal(write, queue.Status(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, rig.Pages())));
        Assert.Equal(read, queue.Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, rig.Pages())));
    }

    [Fact]
    public void Disk_WithADefect_FailsTheCommandOnly()
    {
        var slow = new NvmeGatedBacking { Throws = true };
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        Assert.Equal(NvmeStatus.InternalError, queue.Status(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, rig.Pages())));
        slow.Throws = false;
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, rig.Pages()));
    }
}
