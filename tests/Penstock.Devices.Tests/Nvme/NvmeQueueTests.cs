using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>Queues: how they are made and taken away, wrap, fill up, are shared; doorbells that cannot be.</summary>
public sealed class NvmeQueueTests
{
    [Theory]
    [InlineData(0, 16, 1, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(65, 16, 1, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(0xffff, 16, 1, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(2, 16, 1, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(3, 1, 1, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 1025, 1, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 65536, 1, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 16, 65, true, 0, NvmeStatus.InvalidInterruptVector)]
    [InlineData(3, 16, 2048, true, 0, NvmeStatus.InvalidInterruptVector)]
    [InlineData(3, 16, 64, false, 0, NvmeStatus.InvalidField)]
    [InlineData(3, 16, 64, true, 8, NvmeStatus.InvalidPrpOffset)]
    [InlineData(3, 16, 64, true, 0x7000_0000, NvmeStatus.DataTransferError)]
    [InlineData(3, 1024, 64, true, 0, NvmeStatus.Success)]
    [InlineData(64, 2, 0, true, 0, NvmeStatus.Success)]
    public void CreateCompletionQueue_Answers(int id, int entries, int vector, bool contiguous, int offset, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.CreateCompletionQueue(new NvmeHostRing(rig, 2, 16));
        Assert.Equal(status, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue,
            Prp1 = rig.Pages(16) + (ulong)offset,
            Cdw10 = (uint)(id | ((entries - 1) << 16)),
            Cdw11 = (contiguous ? 1u : 0) | ((uint)vector << 16),
        }));
    }

    [Theory]
    [InlineData(0, 16, 2, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(65, 16, 2, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(2, 16, 2, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(3, 1, 2, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 1025, 2, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 65536, 2, true, 0, NvmeStatus.InvalidQueueSize)]
    [InlineData(3, 16, 0, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(3, 16, 65, true, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(3, 16, 5, true, 0, NvmeStatus.InvalidCompletionQueue)]
    [InlineData(3, 16, 2, false, 0, NvmeStatus.InvalidField)]
    [InlineData(3, 16, 2, true, 64, NvmeStatus.InvalidPrpOffset)]
    [InlineData(3, 16, 2, true, 0x7000_0000, NvmeStatus.DataTransferError)]
    [InlineData(3, 1024, 2, true, 0, NvmeStatus.Success)]
    [InlineData(64, 2, 2, true, 0, NvmeStatus.Success)]
    public void CreateSubmissionQueue_Answers(int id, int entries, int completions, bool contiguous, int offset, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.CreatePair(2, 16);
        Assert.Equal(status, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue,
            Prp1 = rig.Pages(16) + (ulong)offset,
            Cdw10 = (uint)(id | ((entries - 1) << 16)),
            Cdw11 = (contiguous ? 1u : 0) | ((uint)completions << 16),
        }));
    }

    [Theory]
    [InlineData(NvmeAdminOpcode.DeleteSubmissionQueue, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(NvmeAdminOpcode.DeleteSubmissionQueue, 1, NvmeStatus.Success)]
    [InlineData(NvmeAdminOpcode.DeleteSubmissionQueue, 2, NvmeStatus.InvalidQueueId)]
    [InlineData(NvmeAdminOpcode.DeleteSubmissionQueue, 0xffff, NvmeStatus.InvalidQueueId)]
    [InlineData(NvmeAdminOpcode.DeleteCompletionQueue, 0, NvmeStatus.InvalidQueueId)]
    [InlineData(NvmeAdminOpcode.DeleteCompletionQueue, 1, NvmeStatus.InvalidQueueDeletion)]
    [InlineData(NvmeAdminOpcode.DeleteCompletionQueue, 2, NvmeStatus.InvalidQueueId)]
    [InlineData(NvmeAdminOpcode.DeleteCompletionQueue, 0xffff, NvmeStatus.InvalidQueueId)]
    public void Delete_Answers(NvmeAdminOpcode opcode, int id, NvmeStatus status)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.CreatePair();
        Assert.Equal(status, rig.AdminStatus(new NvmeCommand { Opcode = (byte)opcode, Cdw10 = (uint)id }));
    }

    [Fact]
    public void Errors_AreMarkedNotToBeTriedAgain()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeCompletion completion = rig.AdminRun(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue });
        Assert.Equal(NvmeStatus.InvalidQueueId | NvmeStatus.DoNotRetry, completion.Status);
    }

    [Fact]
    public void Pair_DeletedAndMadeAgain_BeginsAtItsStart()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        for (int i = 0; i < 3; i++)
        {
            NvmeHostQueue queue = rig.CreatePair(7, 8);
            for (int command = 0; command < 11; command++)
            {
                queue.Ok(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
            }

            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = 7 });
            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 7 });
        }
    }

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(64)]
    [InlineData(1024)]
    public void Pair_OfAnySize_Wraps(int entries)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair(1, entries);
        for (int i = 0; i < (3 * entries) + 1; i++)
        {
            NvmeCompletion completion = queue.Run(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
            Assert.Equal((NvmeStatus.Success, (ushort)queue.Tail), (completion.Status, completion.SubmissionHead));
        }
    }

    [Fact]
    public void AdminQueue_OfTwoEntries_Works()
    {
        using NvmeRig rig = new NvmeRig().Enable(2);
        for (int i = 0; i < 9; i++)
        {
            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        }
    }

    [Fact]
    public void AdminCompletionQueue_OfTwoEntriesWithARequestForEvents_StillWorks()
    {
        using NvmeRig rig = new NvmeRig().Enable(4, completionEntries: 2);
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest });
        for (int i = 0; i < 5; i++)
        {
            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        }
    }

    [Fact]
    public void Batch_OfAFullQueue_CompletesInOneLap()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair(1, 256);
        for (int lap = 0; lap < 5; lap++)
        {
            var ids = new HashSet<ushort>();
            for (int i = 0; i < 255; i++)
            {
                ids.Add(queue.Put(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0)));
            }

            queue.Ring();
            for (int i = 0; i < 255; i++)
            {
                Assert.True(ids.Remove(queue.CompletionRing.Take().CommandId));
            }
        }
    }

    [Fact]
    public void CompletionQueue_ThatIsFull_LosesNothingAndIsNotOverrun()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var ring = new NvmeHostRing(rig, 1, 4);
        rig.CreateCompletionQueue(ring);
        var queue = new NvmeHostQueue(rig, 1, 32, ring);
        rig.CreateSubmissionQueue(queue);
        for (int i = 0; i < 20; i++)
        {
            queue.Put(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
        }

        queue.Ring();
        for (ushort i = 0; i < 20; i++)
        {
            NvmeCompletion completion = default;
            NvmeRig.WaitUntil(() => ring.TryTake(out completion, ring: false), "nothing comes");
            Assert.Equal(i, completion.CommandId);
            if (i % 3 == 2)
            {
                // The fourth entry must not be used before this.
                rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
                Assert.False(ring.TryTake(out _, ring: false));
                ring.Ring();
            }
        }
    }

    [Fact]
    public void CompletionQueue_SharedByFour_GetsThemAll()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var ring = new NvmeHostRing(rig, 5, 16);
        rig.CreateCompletionQueue(ring);
        var queues = new List<NvmeHostQueue>();
        for (int id = 1; id <= 4; id++)
        {
            queues.Add(new NvmeHostQueue(rig, id, 32, ring));
            rig.CreateSubmissionQueue(queues[^1]);
        }

        var expected = new HashSet<(int, int)>();
        foreach (NvmeHostQueue queue in queues)
        {
            for (int i = 0; i < 31; i++)
            {
                expected.Add((queue.Id, queue.Put(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0))));
            }

            queue.Ring();
        }

        while (expected.Count != 0)
        {
            NvmeCompletion completion = ring.Take();
            Assert.Equal(NvmeStatus.Success, completion.Status);
            Assert.True(expected.Remove((completion.SubmissionQueueId, completion.CommandId)));
        }

        for (int id = 1; id <= 4; id++)
        {
            Assert.Equal(NvmeStatus.InvalidQueueDeletion, rig.AdminStatus(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 5 }));
            rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = (uint)id });
        }

        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 5 });
    }

    [Fact]
    public void Queues_AllThatThereCanBe_WorkAtOnce()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var queues = Enumerable.Range(1, 64).Select(id => rig.CreatePair(id, 8)).ToList();
        queues.ForEach(q => q.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0)));
        queues.ForEach(q => Assert.Equal(NvmeStatus.Success, q.CompletionRing.Take().Status));
    }

    [Fact]
    public void SubmissionQueue_WithACommandIdInUse_RefusesTheSecond()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        slow.Close();
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0), 5);
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0), 5);
        Assert.Equal(NvmeStatus.CommandIdConflict, queue.CompletionRing.Take().Status & NvmeStatus.CodeMask);
        slow.Open();
        Assert.Equal(NvmeStatus.Success, queue.CompletionRing.Take().Status);
    }

    [Fact]
    public void AdminCommand_WithTheIdOfAKeptRequest_IsRefused()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest }, 100);
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive }, 100);
        Assert.Equal(NvmeStatus.CommandIdConflict | NvmeStatus.DoNotRetry, rig.Admin.CompletionRing.Take().Status);
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
    }

    [Theory]
    [InlineData(2 * 9, 1u, 0u)]
    [InlineData((2 * 9) + 1, 1u, 0u)]
    [InlineData(2 * 500, 1u, 0u)]
    [InlineData(2, 64u, 1u)]
    [InlineData(2, 0xffffu, 1u)]
    [InlineData(3, 64u, 1u)]
    [InlineData(3, 1u, 1u)]
    public void Doorbell_ThatCannotBe_IsIgnoredAndTold(int index, uint value, uint info)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair(1, 64);
        ushort request = rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest });
        rig.Write32(NvmeRegisters.Doorbells + (ulong)(index * 4), value);
        NvmeCompletion told = rig.Admin.CompletionRing.Take();
        Assert.Equal((request, (info << 8) | (1u << 16)), (told.CommandId, told.Result));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
    }

    [Fact]
    public void SubmissionEntry_ThatIsReadOnce_MayChangeAfterwards()
    {
        var slow = new NvmeGatedBacking();
        using NvmeRig rig = new NvmeRig(backing: slow).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        ulong page = rig.Pages();
        slow.Close();
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page));
        NvmeRig.WaitUntil(() => slow.Waiting == 1, "the command does not begin");
        rig.At(queue.Submissions, 64).Fill(0xff);
        slow.Open();
        Assert.Equal(NvmeStatus.Success, queue.CompletionRing.Take().Status);
    }
}
