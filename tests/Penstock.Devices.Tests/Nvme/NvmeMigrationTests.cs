using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A disk saved and loaded into another one, in one process.</summary>
public sealed class NvmeMigrationTests
{
    private const int Rounds = 20;

    private static readonly NvmeCommand Flush = NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0);

    [Fact]
    public void State_OfADiskInUse_GoesOnElsewhere()
    {
        using NvmeRig source = new NvmeRig().Enable();
        using var target = new NvmeRig(memoryOf: source);
        NvmeHostQueue queue = source.CreatePair(3, entries: 16, vector: 3);
        ulong data = source.Pages();
        source.At(data, 4).Fill(7);
        for (int i = 0; i < 21; i++)
        {
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, (ulong)i, 1, data));
        }

        source.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.Arbitration, Cdw11 = 5 });
        source.Write32(NvmeRegisters.InterruptMaskSet, 6);
        source.MoveTo(target);
        queue.Use(target);

        Assert.Equal(Registers(source), Registers(target));
        source.At(data, 4).Clear();
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 20, 1, data));
        Assert.Equal(7, target.At(data, 1)[0]);
        Assert.Equal(5u, target.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetFeatures, Cdw10 = (uint)NvmeFeatureId.Arbitration }));
    }

    /// <summary>The kernel tells of a loss once: a disk that begins anew at the same file would not hear of it.</summary>
    [Fact]
    public void FlushFailure_BeforeTheMove_IsKnownAtTheTargetAndBeyond()
    {
        var broken = new CheckedBacking(1 << 20) { Blocks = true };
        using NvmeRig source = new NvmeRig(null, broken).Enable();
        using var target = new NvmeRig(null, new CheckedBacking(1 << 20) { Blocks = true }, memoryOf: source);
        using var last = new NvmeRig(null, new CheckedBacking(1 << 20) { Blocks = true }, memoryOf: source);
        NvmeHostQueue queue = source.CreatePair();
        ulong data = source.Pages();
        broken.Answer = Errno.EIO;
        Assert.Equal(NvmeStatus.WriteFault, queue.Status(Flush));
        broken.Answer = Errno.None;
        Assert.Equal(NvmeStatus.WriteFault, queue.Status(Flush));
        source.MoveTo(target);
        queue.Use(target);
        Assert.Equal(NvmeStatus.WriteFault, queue.Status(Flush));
        target.MoveTo(last);
        queue.Use(last);
        Assert.Equal(NvmeStatus.WriteFault, queue.Status(Flush));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, 1, data));
    }

    /// <summary>Anybody can write a state that says so.</summary>
    [Fact]
    public void FlushFailure_ThatCameWithAState_EndsWithItsUserAndNotWithAReset()
    {
        var broken = new CheckedBacking(1 << 20) { Blocks = true };
        using NvmeRig source = new NvmeRig(null, broken).Enable();
        using var target = new NvmeRig(null, new CheckedBacking(1 << 20) { Blocks = true }, memoryOf: source);
        NvmeHostQueue queue = source.CreatePair();
        broken.Answer = Errno.EIO;
        Assert.Equal(NvmeStatus.WriteFault, queue.Status(Flush));
        broken.Answer = Errno.None;
        source.MoveTo(target);
        target.ResetFunction();
        target.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        Assert.Equal(NvmeStatus.WriteFault, target.Enable().CreatePair().Status(Flush));
        target.Reopen();
        target.Enable().CreatePair().Ok(Flush);

        // The one that has failed itself has, for whomever.
        source.Reopen();
        Assert.Equal(NvmeStatus.WriteFault, source.Enable().CreatePair().Status(Flush));
    }

    [Fact]
    public void Flush_ThatFailedForTheImageWasElsewhere_MeansNoLoss()
    {
        var absent = new CheckedBacking(1 << 20) { Blocks = true, Answer = Errno.EBUSY };
        using NvmeRig rig = new NvmeRig(null, absent).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        Assert.Equal(NvmeStatus.NamespaceNotReady, queue.Status(Flush));
        absent.Answer = Errno.None;
        queue.Ok(Flush);
    }

    [Fact]
    public void EventRequests_KeptAtTheSource_AreAnsweredAtTheTargetInOrder()
    {
        using NvmeRig source = new NvmeRig().Enable();
        using var target = new NvmeRig(memoryOf: source);
        var request = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest };
        ushort first = source.Admin.Submit(request, 9);
        source.Admin.Submit(request, 3);
        source.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        source.MoveTo(target);
        target.Write32(NvmeRegisters.Doorbells + (2 * 5 * 4), 1);
        NvmeCompletion told = target.Admin.CompletionRing.Take();
        Assert.Equal((first, 0x10000u), (told.CommandId, told.Result));
    }

    /// <summary>One command is with the disk when it is stopped, the others wait for a thread: each ends once, wherever.</summary>
    [Fact]
    public void Commands_UnderWayAtTheStop_EndOnce()
    {
        const int Commands = 12;
        var disk = new NvmeGatedBacking();
        using NvmeRig source = new NvmeRig(new NvmeOptions { Workers = 2 }, disk).Enable();
        using var target = new NvmeRig(new NvmeOptions { Workers = 2 }, new NvmeGatedBacking(), memoryOf: source);
        NvmeHostQueue queue = source.CreatePair();
        disk.Close();
        var ids = new HashSet<ushort>();
        for (int i = 0; i < Commands; i++)
        {
            ids.Add(queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0)));
        }

        NvmeRig.WaitUntil(() => disk.Waiting == 2, "the commands do not begin");
        ushort delete = source.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteSubmissionQueue, Cdw10 = 1 });
        source.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        var opener = new Thread(() =>
        {
            Thread.Sleep(20);
            disk.Open();
        });
        opener.Start();
        source.MoveTo(target);
        opener.Join();
        queue.Use(target);
        Assert.Equal((delete, NvmeStatus.Success), target.Admin.CompletionRing.Take() is var deleted ? (deleted.CommandId, deleted.Status) : default);
        while (queue.CompletionRing.TryTake(out NvmeCompletion completion))
        {
            Assert.True(ids.Remove(completion.CommandId));
            Assert.Equal(NvmeStatus.Success, completion.Status);
        }

        // What was not taken off the queue before it was deleted is gone with it.
        Assert.InRange(ids.Count, 0, Commands - 2);
        target.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DeleteCompletionQueue, Cdw10 = 1 });
    }

    /// <summary>A stop at every message that there is: what the message was part of goes on at the target, and nothing is done twice.</summary>
    [Fact]
    public void Stop_AtEachMessage_GoesOnAtTheTarget()
    {
        for (int at = 1; at < 40; at++)
        {
            using var source = new NvmeRig(map: false);
            using var target = new NvmeRig(memoryOf: source);
            var channel = new NvmeChannel(source);
            source.Map(NvmeRig.Base, NvmeRig.MemorySize, DmaAccess.ReadWrite, new MessageMemory(channel, NvmeRig.Base, NvmeRig.MemorySize));
            source.Enable();
            NvmeHostQueue queue = source.CreatePair();
            ulong pages = source.Pages(2);
            source.At(pages, NvmeRig.Page).Fill(0x77);
            int messages = 0;
            byte[]? state = null;
            using var submitted = new ManualResetEventSlim();
            channel.Meanwhile = (_, _) =>
            {
                // A host that stands still rings no doorbells.
                Assert.True(submitted.Wait(NvmeRig.Patience));
                if (Interlocked.Increment(ref messages) == at)
                {
                    var stopper = new Thread(() => state = source.SaveState()) { IsBackground = true };
                    stopper.Start();
                    Assert.True(stopper.Join(NvmeRig.Patience), "the stop does not end");
                }
            };
            ushort identify = source.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = pages + NvmeRig.Page, Cdw10 = 1 });
            ushort write = queue.Submit(NvmeRig.Io(NvmeIoOpcode.Write, 5, 8, pages));
            submitted.Set();
            NvmeRig.WaitUntil(
                () => Volatile.Read(ref state) is not null || (Seen(source.Admin, identify) && Seen(queue, write)), "neither a stop nor the answers");
            state ??= source.SaveState();
            target.LoadState(state);
            target.Admin = source.Admin;
            target.Admin.Use(target);
            queue.Use(target);
            Assert.Equal(identify, target.Admin.CompletionRing.Take().CommandId);
            Assert.Equal((write, NvmeStatus.Success), queue.CompletionRing.Take() is var done ? (done.CommandId, done.Status) : default);
            target.At(pages, NvmeRig.Page).Clear();
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 5, 8, pages));
            Assert.False(target.At(pages, NvmeRig.Page).ContainsAnyExcept((byte)0x77));
            Assert.False(target.Admin.CompletionRing.TryTake(out _));
            if (Volatile.Read(ref messages) < at)
            {
                return;
            }
        }

        // Whether the completion is in the host's memory; it is not taken.
        static bool Seen(NvmeHostQueue queue, ushort id) => queue.CompletionRing.Peek(id);
    }

    [Fact]
    public void Temperature_ThatWasTold_IsNotToldAgainAtTheTarget()
    {
        using NvmeRig source = new NvmeRig().Enable();
        using var target = new NvmeRig(memoryOf: source);
        var request = new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest };
        ushort first = source.Admin.Submit(request);
        Set(NvmeFeatureId.AsyncEventConfiguration, (uint)NvmeAsyncEventConfiguration.SmartTemperature);
        Set(NvmeFeatureId.TemperatureThreshold, 200);
        Assert.Equal(first, source.Admin.CompletionRing.Take().CommandId);
        source.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetLogPage, Cdw10 = (uint)NvmeLogId.Smart | (127 << 16), Prp1 = source.Pages() });
        source.Admin.Submit(request);
        source.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        source.MoveTo(target);
        target.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        target.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });

        void Set(NvmeFeatureId feature, uint value) => source.AdminOk(
            new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)feature, Cdw11 = value });
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Load_MovedAgainAndAgain_LosesNothing(bool isFile)
    {
        string path = Path.GetTempFileName();
        var disks = new List<NvmeRig>();
        try
        {
            File.WriteAllBytes(path, new byte[2 << 20]);
            INvmeBacking Backing(bool awaited = false) => isFile ? FileNvmeBacking.Open(path, awaited: awaited) : new MemoryNvmeBacking(2 << 20);
            disks.Add(new NvmeRig(backing: Backing()).Enable());
            disks.Add(new NvmeRig(backing: Backing(awaited: true), memoryOf: disks[0]));
            var load = new NvmeLoad(disks[0], disks[0].CreatePair(1, 32), blocks: 4096);
            load.Start();
            for (int round = 0; round < Rounds; round++)
            {
                long before = load.Completed;
                Thread.Sleep(5);
                NvmeRig.WaitUntil(() => load.HasEnded || load.Completed > before, "the load stands still");
                (NvmeRig from, NvmeRig to) = (disks[round % 2], disks[(round + 1) % 2]);
                load.Pause(() =>
                {
                    from.MoveTo(to);
                    load.Queue.Use(to);
                    from.File.Reset();
                });
            }

            load.Finish();
            Assert.InRange(load.Completed, Rounds, long.MaxValue);
        }
        finally
        {
            disks.ForEach(d => d.Dispose());
            File.Delete(path);
        }
    }

    [Fact]
    public void State_OfADiskWithOtherQueues_IsRefusedWithTheRemedy()
    {
        using NvmeRig source = new NvmeRig().Enable();
        using var target = new NvmeRig(new NvmeOptions { QueueEntries = 64 }, memoryOf: source);
        var error = Assert.Throws<VfioException>(() => source.MoveTo(target));
        Assert.Contains("serve both with the same options", error.Message, StringComparison.Ordinal);
        target.File.Reset();
    }

    private static uint[] Registers(NvmeRig rig) =>
        [.. new[] { NvmeRegisters.Configuration, NvmeRegisters.Status, NvmeRegisters.AdminQueueAttributes, NvmeRegisters.InterruptMaskSet }.Select(rig.Read32)];
}
