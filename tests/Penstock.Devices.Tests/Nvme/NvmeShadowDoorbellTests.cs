using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Doorbells that the host leaves in its memory, by the rule of the specification's section 7.13.</summary>
public sealed class NvmeShadowDoorbellTests
{
    private static readonly NvmeCommand Flush = NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0);

    [Fact]
    public void Config_WithQueuesInUse_CarriesTheirValues()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair(2, 16);
        queue.Ok(Flush, times: 5);

        var shadow = new NvmeShadow(rig);
        Assert.Equal((5u, 5u), (shadow.Value(4), shadow.Value(5)));
        shadow.Use(queue);
        queue.Ok(Flush, times: 40);
    }

    [Fact]
    public void Queue_MadeAfterwards_BeginsAtZeroWhateverThePagesSay()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var shadow = new NvmeShadow(rig);
        shadow.Set(2, 7);
        shadow.Set(3, 9);
        NvmeHostQueue queue = rig.CreatePair(1, 16);
        Assert.Equal((0u, 0u), (shadow.Value(2), shadow.Value(3)));
        shadow.Use(queue);
        queue.Ok(Flush, times: 40);
    }

    [Fact]
    public void Host_ThatSleepsBetweenInterrupts_IsNeverForgottenAndRingsSeldom()
    {
        const int Commands = 5000;
        using var rig = new NvmeRig();
        using var one = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Msix, 1, one);
        rig.Enable();
        var shadow = new NvmeShadow(rig);
        NvmeHostQueue queue = rig.CreatePair(1, 32, vector: 1);
        shadow.Use(queue);
        int submitted = 0;
        for (; submitted < 16; submitted++)
        {
            queue.Submit(Flush);
        }

        for (int completed = 0; completed < Commands;)
        {
            Assert.NotEqual(PollEvents.None, Poll.Wait(one.Descriptor.Value, PollEvents.In, NvmeRig.Patience));
            Assert.True(one.TryDrain(out _));
            while (queue.CompletionRing.TryTake(out _))
            {
                completed++;
                if (submitted < Commands)
                {
                    queue.Submit(Flush);
                    submitted++;
                }
            }
        }

        Assert.InRange(shadow.Rings, 1, Commands + 16);
    }

    [Fact]
    public void CompletionQueue_ThatIsFull_AsksForItsHead()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var shadow = new NvmeShadow(rig);
        var ring = new NvmeHostRing(rig, 1, 4);
        rig.CreateCompletionQueue(ring);
        var queue = new NvmeHostQueue(rig, 1, 64, ring);
        rig.CreateSubmissionQueue(queue);
        shadow.Use(queue);
        for (int i = 0; i < 50; i++)
        {
            queue.Submit(Flush);
        }

        for (int i = 0; i < 50; i++)
        {
            Assert.Equal(NvmeStatus.Success, ring.Take().Status);
        }
    }

    [Fact]
    public void Pin_FollowsTheHeads()
    {
        using var rig = new NvmeRig();
        using var pin = EventDescriptor.Create();
        rig.Arm(VfioIrqs.Intx, 0, pin);
        rig.Enable();
        var shadow = new NvmeShadow(rig);
        NvmeHostQueue queue = rig.CreatePair(1, 16, vector: 0);
        shadow.Use(queue);
        int interrupts = 0;
        for (int i = 0; i < 50; i++)
        {
            queue.Submit(Flush);
            while (!queue.CompletionRing.TryTake(out _))
            {
                // As a driver: what the pin says is looked after, then it may say so again. An interrupt without cause is none of its business.
                Assert.NotEqual(PollEvents.None, Poll.Wait(pin.Descriptor.Value, PollEvents.In, NvmeRig.Patience));
                Assert.True(pin.TryDrain(out _));
                interrupts++;
                if (!queue.CompletionRing.TryTake(out _))
                {
                    rig.Act(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask);
                    continue;
                }

                rig.Act(VfioIrqs.Intx, VfioIrqSetFlags.ActionUnmask);
                break;
            }
        }

        Assert.InRange(interrupts, 1, int.MaxValue);
    }

    [Fact]
    public void Value_ThatCannotBe_IsToldOnce()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        var shadow = new NvmeShadow(rig);
        NvmeHostQueue queue = rig.CreatePair(1, 16);
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.AsyncEventRequest });
        shadow.Set(2, 16);
        rig.Write32(NvmeRegisters.Doorbells + 8, 16);
        Assert.Equal(0x10100u, rig.Admin.CompletionRing.Take().Result);
        shadow.Set(2, 0);
        shadow.Use(queue);
        queue.Ok(Flush);
    }

    [Theory]
    [InlineData(4, 0)]
    [InlineData(0, 8)]
    [InlineData(0, -4096)]
    public void Config_WithPagesThatCannotBe_IsRefused(int first, int second)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong pages = rig.Pages(2);
        Assert.Equal(NvmeStatus.InvalidField, rig.AdminStatus(new NvmeCommand
        {
            Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig,
            Prp1 = pages + (ulong)first,
            Prp2 = (ulong)((long)pages + NvmeRig.Page + second),
        }));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Controller_WithNothingToDo_Sleeps(bool hasShadow)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        if (hasShadow)
        {
            new NvmeShadow(rig).Use(queue);
        }

        queue.Ok(Flush, times: 100);

        // Whatever it takes to fall asleep: then it stays so.
        NvmeRig.WaitUntil(
            () =>
            {
                long turns = rig.Disk.Controller.Turns;
                Thread.Sleep(100);
                return rig.Disk.Controller.Turns == turns;
            },
            "the controller does not sleep");
        queue.Ok(Flush);
    }

    [Fact]
    public void Config_EndsWithTheController()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        _ = new NvmeShadow(rig);
        rig.Disable();
        rig.Enable();
        rig.CreatePair().Ok(Flush);
    }

    [Fact]
    public void Pages_TakenAway_LeaveTheControllerFatal()
    {
        using NvmeRig rig = new NvmeRig(map: false);
        ulong first = rig.Pages(2);
        rig.Map(NvmeRig.Base, 0, 2 * NvmeRig.Page);
        rig.Map(NvmeRig.Base + (2 * NvmeRig.Page), 2 * NvmeRig.Page, NvmeRig.MemorySize - (2 * NvmeRig.Page));
        rig.Enable();
        _ = new NvmeShadow(rig, first);
        rig.CreatePair();
        rig.Container.UnmapDma(NvmeRig.Base, 2 * NvmeRig.Page);
        rig.Write32(NvmeRegisters.Doorbells + 8, 1);
        NvmeRig.WaitUntil(() => rig.Status.Fatal, "the controller does not say that it cannot go on");
    }
}
