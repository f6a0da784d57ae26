using Penstock.Specs.Nvme;

namespace Penstock.Devices.Tests;

/// <summary>What commands cost besides time: no allocation.</summary>
public sealed class NvmeAllocationTests
{
    private const int Commands = 2000;

    // A collection that other tests cause may be booked in some; what a command allocated would be there in each.
    private const int Windows = 5;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Commands_Allocate_Nothing(bool shadow)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        if (shadow)
        {
            new NvmeShadow(rig).Use(queue);
        }

        var buffer = new NvmeBuffer(rig, 32 << 10, 0x200);
        Run(queue, buffer);
        Assert.Equal(0, LeastOnStrand(rig, () => Run(queue, buffer)));
    }

    /// <summary>With blocks that may make a thread wait, on a worker.</summary>
    [Fact]
    public void Commands_CarriedOutByAWorker_AllocateNothing()
    {
        var backing = new MeasuredBacking();
        using NvmeRig rig = new NvmeRig(new NvmeOptions { Workers = 1 }, backing).Enable();
        NvmeHostQueue queue = rig.CreatePair();
        var buffer = new NvmeBuffer(rig, 32 << 10, 0x200);
        Run(queue, buffer);
        long leastOnStrand = long.MaxValue;
        long leastOnWorker = long.MaxValue;
        for (int window = 0; window < Windows && (leastOnStrand, leastOnWorker) != (0, 0); window++)
        {
            long onStrand = OnStrand(rig);
            long onWorker = backing.AllocatedByCaller;
            Run(queue, buffer);
            leastOnStrand = Math.Min(leastOnStrand, OnStrand(rig) - onStrand);
            leastOnWorker = Math.Min(leastOnWorker, backing.AllocatedByCaller - onWorker);
        }

        Assert.Equal((0, 0), (leastOnStrand, leastOnWorker));
    }

    private static void Run(NvmeHostQueue queue, NvmeBuffer buffer)
    {
        for (int i = 0; i < Commands; i++)
        {
            queue.Ok(NvmeRig.Io(i % 2 == 0 ? NvmeIoOpcode.Write : NvmeIoOpcode.Read, (ulong)(i % 100), 64, buffer.Prp1, buffer.Prp2));
        }
    }

    /// <summary>What the strand's thread allocates meanwhile, in the best of several windows.</summary>
    internal static long LeastOnStrand(NvmeRig rig, Action run)
    {
        long least = long.MaxValue;
        for (int window = 0; window < Windows && least != 0; window++)
        {
            long before = OnStrand(rig);
            run();
            least = Math.Min(least, OnStrand(rig) - before);
        }

        return least;
    }

    /// <summary>What the strand's thread has allocated so far.</summary>
    private static long OnStrand(NvmeRig rig)
    {
        long bytes = 0;
        using var done = new ManualResetEventSlim();
        rig.Disk.Controller.Dma.Post(() =>
        {
            bytes = GC.GetAllocatedBytesForCurrentThread();
            done.Set();
        });
        Assert.True(done.Wait(NvmeRig.Patience));
        return bytes;
    }
}
