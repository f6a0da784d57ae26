using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>A disk saved and loaded into another one, in one process.</summary>
public sealed class NvmeMigrationTests
{
    private const int Rounds = 20;

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
                Thread.Sleep(5);
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
