using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Messages for what was completed together, and the pin as long as something is unread.</summary>
public sealed class NvmeInterruptTests
{
    private static readonly NvmeCommand Flush = NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0);

    [Fact]
    public void Completion_InAQueueWithAVector_SignalsThatVector()
    {
        using var rig = new NvmeRig();
        using var zero = EventDescriptor.Create();
        using var three = EventDescriptor.Create();
        using var four = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 0, zero);
        rig.Arm(VfioIrqs.Msix, 3, three, four);
        NvmeHostQueue queue = rig.Enable().CreatePair(1, vector: 4);
        WaitFor(zero);
        queue.Submit(Flush);
        WaitFor(four);
        Assert.Equal(NvmeStatus.Success, queue.CompletionRing.Take().Status);
        Assert.False(three.TryDrain(out _));
    }

    [Fact]
    public void Completion_InAQueueWithoutInterrupts_SignalsNothing()
    {
        using var rig = new NvmeRig();
        using var zero = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 0, zero);
        NvmeHostQueue queue = rig.Enable().CreatePair();
        WaitFor(zero);
        queue.Ok(Flush);
        long before = rig.Disk.InterruptsSent;
        queue.Ok(Flush);
        Assert.Equal(before, rig.Disk.InterruptsSent);
    }

    [Fact]
    public void Batch_CompletedTogether_IsOneInterrupt()
    {
        using var rig = new NvmeRig();
        using var one = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 1, one);
        NvmeHostQueue queue = rig.Enable().CreatePair(1, 64, vector: 1);
        long before = rig.Disk.InterruptsSent;
        for (int i = 0; i < 32; i++)
        {
            queue.Put(Flush);
        }

        queue.Ring();
        for (int i = 0; i < 32; i++)
        {
            queue.CompletionRing.Take();
        }

        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        WaitFor(one);
        Assert.InRange(rig.Disk.InterruptsSent - before, 1, 4);
    }

    /// <summary>A host that sleeps until it is interrupted, reads all there is, and sleeps again, while commands end whenever they like.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Host_ThatSleepsBetweenInterrupts_IsNeverForgotten(bool slow)
    {
        const int Commands = 3000;
        using var rig = new NvmeRig(backing: slow ? new NvmeGatedBacking() : null);
        using var one = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 1, one);
        NvmeHostQueue queue = rig.Enable().CreatePair(1, 32, vector: 1);
        int submitted = 0;
        for (; submitted < 20; submitted++)
        {
            queue.Submit(Flush);
        }

        for (int completed = 0; completed < Commands;)
        {
            WaitFor(one);
            while (queue.CompletionRing.TryTake(out NvmeCompletion completion))
            {
                Assert.Equal(NvmeStatus.Success, completion.Status);
                completed++;
                if (submitted < Commands)
                {
                    queue.Submit(Flush);
                    submitted++;
                }
            }
        }
    }

    /// <summary>
    /// A host that tells late what it has read is interrupted all the same, though another queue never leaves the controller idle: here it is stuck
    /// in the middle of that one's commands.
    /// </summary>
    [Fact]
    public void Host_ThatLeavesItsHead_IsInterruptedWhileAnotherQueueIsBusy()
    {
        const int Commands = 300;
        using var gate = new ManualResetEventSlim();
        using var rig = new NvmeRig(backing: new StuckBacking(gate, reads: 200));
        using var one = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 1, one);
        rig.Enable();
        NvmeHostQueue quiet = rig.CreatePair(1, 16, vector: 1);
        NvmeHostQueue busy = rig.CreatePair(2, 512);
        ulong page = rig.Pages();
        NvmeCommand read = NvmeRig.Io(NvmeIoOpcode.Read, 0, 1, page);
        quiet.Submit(Flush);
        WaitFor(one);
        NvmeRig.WaitUntil(() => quiet.CompletionRing.TryTake(out _, ring: false), "nothing comes");

        // All of it is found at once.
        var shadow = new NvmeShadow(rig);
        shadow.Use(quiet);
        shadow.Use(busy);
        for (int i = 0; i < Commands; i++)
        {
            busy.Put(read);
        }

        quiet.Put(Flush);
        shadow.Set(2, (uint)quiet.Tail);
        shadow.Set(4, (uint)busy.Tail);
        try
        {
            rig.Write32(NvmeRegisters.Doorbells + (4 * 4), (uint)busy.Tail);
            WaitFor(one);
        }
        finally
        {
            gate.Set();
        }

        Assert.Equal(NvmeStatus.Success, quiet.CompletionRing.Take().Status);
        for (int i = 0; i < Commands; i++)
        {
            Assert.Equal(NvmeStatus.Success, busy.CompletionRing.Take().Status);
        }
    }

    [Fact]
    public void Pin_IsUpWhileSomethingIsUnread()
    {
        using var rig = new NvmeRig();
        using var pin = EventDescriptor.Create();
        NvmeHostQueue queue = PairOnPin(rig, pin);
        queue.Submit(Flush);
        queue.Submit(Flush);
        WaitFor(pin);
        AwaitUnread(queue);
        Rearm(rig);
        WaitFor(pin);
        AwaitUnread(queue);
        queue.CompletionRing.Ring();
        AssertDown(rig, pin);
    }

    [Fact]
    public void Pin_WithItsVectorMasked_IsSilentUntilUnmasked()
    {
        using var rig = new NvmeRig();
        using var pin = EventDescriptor.Create();
        NvmeHostQueue queue = PairOnPin(rig, pin);
        rig.Write32(NvmeRegisters.InterruptMaskSet, 1);
        queue.Submit(Flush);
        AwaitUnread(queue);
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        rig.Admin.CompletionRing.Take();
        Assert.False(pin.TryDrain(out _));
        rig.Write32(NvmeRegisters.InterruptMaskClear, 1);
        WaitFor(pin);
        queue.CompletionRing.Ring();
        AssertDown(rig, pin);
    }

    [Fact]
    public void Pin_AfterAReset_IsDown()
    {
        using var rig = new NvmeRig();
        using var pin = EventDescriptor.Create();
        NvmeHostQueue queue = PairOnPin(rig, pin);
        queue.Submit(Flush);
        AwaitUnread(queue);
        rig.Disable();
        pin.TryDrain(out _);
        AssertDown(rig, pin);
    }

    /// <summary>A driver that leaves its heads in memory touches no register after an interrupt, and QEMU holds the pin up until one is touched.</summary>
    [Theory]
    [InlineData(VfioIrqs.Intx, false)]
    [InlineData(VfioIrqs.Msix, true)]
    public void ShadowDoorbells_OnThePin_AreNotOffered(int index, bool areOffered)
    {
        using var rig = new NvmeRig();
        using var signal = EventDescriptor.Create();
        rig.Arm(index, 0, signal);
        rig.Enable();
        ulong page = rig.Pages();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Cdw10 = (uint)NvmeIdentifyCns.Controller, Prp1 = page });
        ushort commands = BitConverter.ToUInt16(rig.At(page + NvmeIdentifyController.AdminCommands, sizeof(ushort)));
        Assert.Equal(areOffered, (commands & NvmeIdentifyController.OacsDoorbellBuffer) != 0);
    }

    /// <summary>A queue pair on the interrupt pin, which is armed and down.</summary>
    private static NvmeHostQueue PairOnPin(NvmeRig rig, EventDescriptor pin)
    {
        rig.Arm(VfioIrqs.Intx, 0, pin);
        NvmeHostQueue queue = rig.Enable().CreatePair(1, vector: 0);
        pin.TryDrain(out _);
        Rearm(rig);
        pin.TryDrain(out _);
        return queue;
    }

    private static void Rearm(NvmeRig rig) => rig.Act(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask);

    /// <summary>Takes a completion without telling the disk.</summary>
    private static void AwaitUnread(NvmeHostQueue queue) =>
        NvmeRig.WaitUntil(() => queue.CompletionRing.TryTake(out _, ring: false), "nothing comes");

    private static void AssertDown(NvmeRig rig, EventDescriptor pin)
    {
        Rearm(rig);
        Assert.False(pin.TryDrain(out _));
    }

    private static void WaitFor(EventDescriptor signal)
    {
        Assert.NotEqual(PollEvents.None, Poll.Wait(signal.Descriptor.Value, PollEvents.In, NvmeRig.Patience));
        Assert.True(signal.TryDrain(out _));
    }
}
