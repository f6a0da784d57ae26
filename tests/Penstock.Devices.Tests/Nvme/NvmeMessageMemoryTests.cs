using System.Security.Cryptography;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>All of it over memory that has to be asked for by messages, during which registers are used and the controller is reset.</summary>
public sealed class NvmeMessageMemoryTests
{
    [Fact]
    public void Everything_ByMessages_Works()
    {
        using NvmeRig rig = Make(out NvmeChannel channel);
        rig.Enable();
        NvmeHostQueue queue = rig.CreatePair();
        byte[] data = RandomNumberGenerator.GetBytes(128 << 10);
        var from = new NvmeBuffer(rig, data.Length, 0x200);
        var to = new NvmeBuffer(rig, data.Length, 0x10);
        from.Set(data);
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Write, 0, data.Length / 512, from.Prp1, from.Prp2));
        queue.Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, data.Length / 512, to.Prp1, to.Prp2));
        Assert.Equal(data, to.Get());
        Assert.NotEqual(0, channel.Messages);
        var shadow = new NvmeShadow(rig);
        shadow.Use(queue);
        for (int i = 0; i < 200; i++)
        {
            queue.Ok(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
        }
    }

    [Fact]
    public void Register_WhileAMessageIsUnderWay_Answers()
    {
        using NvmeRig rig = Make(out NvmeChannel channel);
        rig.Enable();
        int reads = 0;
        channel.Meanwhile = (_, _) =>
        {
            // A processor that waits for a register answers no messages: both must be possible at once.
            var reader = new Thread(() => reads += rig.Status.Ready ? 1 : 0) { IsBackground = true };
            reader.Start();
            Assert.True(reader.Join(NvmeRig.Patience));
        };
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = rig.Pages(), Cdw10 = 1 });
        channel.Meanwhile = null;
        Assert.NotEqual(0, reads);
    }

    /// <summary>What is not answered yet may still be written: until then the controller is not said to have stopped.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Disable_WhileAMessageIsUnderWay_IsDoneWhenThatIs(bool isFunctionReset)
    {
        using NvmeRig rig = Make(out NvmeChannel channel);
        rig.Enable();
        int asked = 0;
        bool isOver = false;
        bool wasReady = false;
        channel.Meanwhile = (writes, _) =>
        {
            if (!writes || asked++ != 0)
            {
                return;
            }

            var resetter = new Thread(() =>
            {
                if (isFunctionReset)
                {
                    rig.ResetFunction();
                    rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
                    rig.Write32(NvmeRegisters.AdminQueueAttributes, (31 << 16) | 31);
                    rig.Write64(NvmeRegisters.AdminSubmissionQueue, rig.Admin.Submissions);
                    rig.Write64(NvmeRegisters.AdminCompletionQueue, rig.Admin.CompletionRing.Address);
                    rig.Write32(NvmeRegisters.Configuration, NvmeRig.Enabled.Value);
                }
                else
                {
                    rig.Write32(NvmeRegisters.Configuration, 0);
                }

                wasReady = rig.Status.Ready;
            }) { IsBackground = true };
            resetter.Start();
            Assert.True(resetter.Join(NvmeRig.Patience));
            Volatile.Write(ref isOver, true);
        };
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = rig.Pages(), Cdw10 = 1 });
        NvmeRig.WaitUntil(() => Volatile.Read(ref isOver) && rig.Status.Ready == isFunctionReset, "the reset does not end");
        Assert.Equal(!isFunctionReset, wasReady);
        Assert.False(rig.Admin.CompletionRing.TryTake(out _, ring: false));
    }

    /// <summary>A reset at every message that there is, one after another: nothing of before has effects, and the next life works.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Reset_AtEachMessage_LeavesAWorkingController(int kind)
    {
        for (int at = 1; at < 60; at++)
        {
            using NvmeRig rig = Make(out NvmeChannel channel);
            rig.Enable();
            int messages = 0;
            bool isDone = false;
            bool isOver = false;
            object gate = new();
            channel.Meanwhile = (_, _) =>
            {
                lock (gate)
                {
                    messages++;
                    if (messages != at || isOver)
                    {
                        return;
                    }

                    var resetter = new Thread(() => Reset(rig, kind)) { IsBackground = true };
                    resetter.Start();
                    Assert.True(resetter.Join(NvmeRig.Patience), "the reset does not answer");
                    Volatile.Write(ref isDone, true);
                }
            };
            Work(rig, () => Volatile.Read(ref isDone));
            lock (gate)
            {
                isOver = true;
            }

            rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
            NvmeRig.WaitUntil(() => !rig.Status.Ready || !isDone, "the controller does not stop");
            if (!isDone)
            {
                return;
            }

            rig.Enable();
            rig.CreatePair(2).Ok(NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, rig.Pages()));
        }
    }

    private static void Reset(NvmeRig rig, int kind)
    {
        switch (kind)
        {
            case 0:
                rig.Write32(NvmeRegisters.Configuration, 0x00460000);
                break;
            case 1:
                rig.ResetFunction();
                break;
            default:
                rig.File.Reset();
                break;
        }
    }

    /// <summary>Identifies, makes a queue pair, writes and reads, until it is done or a reset has come.</summary>
    private static void Work(NvmeRig rig, Func<bool> isReset)
    {
        ulong pages = rig.Pages(3);
        var queue = new NvmeHostQueue(rig, 1, 16, 1, 16);
        NvmeHostQueue admin = rig.Admin;
        (NvmeHostQueue, NvmeCommand)[] steps =
        [
            (admin, new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.Identify, Prp1 = pages, Cdw10 = 1 }),
            (admin, new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.CreateCompletionQueue, Prp1 = queue.CompletionRing.Address, Cdw10 = 1 | (15 << 16), Cdw11 = 1 }),
            (admin, new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.CreateSubmissionQueue, Prp1 = queue.Submissions, Cdw10 = 1 | (15 << 16), Cdw11 = 1 | (1 << 16) }),
            (queue, NvmeRig.Io(NvmeIoOpcode.Write, 0, 8, pages)),
            (queue, NvmeRig.Io(NvmeIoOpcode.Read, 0, 8, pages)),
            (admin, new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.DoorbellBufferConfig, Prp1 = pages + NvmeRig.Page, Prp2 = pages + (2 * NvmeRig.Page) }),
            (admin, new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive }),
        ];
        foreach ((NvmeHostQueue on, NvmeCommand command) in steps)
        {
            on.Submit(command);
            NvmeRig.WaitUntil(() => isReset() || on.CompletionRing.TryTake(out _, ring: false), "neither an answer nor a reset");
            if (isReset())
            {
                return;
            }

            on.CompletionRing.Ring();
        }
    }

    private static NvmeRig Make(out NvmeChannel channel)
    {
        var rig = new NvmeRig(map: false);
        channel = new NvmeChannel(rig);
        rig.Map(NvmeRig.Base, NvmeRig.MemorySize, DmaAccess.ReadWrite, new MessageMemory(channel, NvmeRig.Base, NvmeRig.MemorySize));
        return rig;
    }
}
