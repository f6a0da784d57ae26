using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The PCI face, the registers and the state flow of the specification's section 3.1.</summary>
public sealed class NvmeRegisterTests
{
    private const ulong DefaultCapabilities = 0x0000_0020_1E01_03FF;

    [Fact]
    public void Config_HasTheClassOfNvme()
    {
        using var rig = new NvmeRig();
        Span<byte> config = stackalloc byte[64];
        Assert.Equal(Errno.None, rig.File.Read(VfioRegions.Config, 0, config, out _));
        Assert.Equal((2, 8, 1), (config[9], config[10], config[11]));
        Assert.Equal(1, config[0x3d]);
        Assert.Equal(4, config[0x10] & 6);
    }

    [Fact]
    public void Regions_AreOneBarOf16KiB()
    {
        using var rig = new NvmeRig();
        Assert.Equal(0x4000u, rig.File.GetRegionInfo(VfioRegions.Bar0).Size);
        Assert.Equal(0u, rig.File.GetRegionInfo(VfioRegions.Bar0 + 2).Size);
        Assert.Equal(65u, rig.File.GetIrqInfo(VfioIrqs.Msix).Count);
        Assert.Equal(1u, rig.File.GetIrqInfo(VfioIrqs.Intx).Count);
        Assert.Equal(0u, rig.File.GetIrqInfo(VfioIrqs.Msi).Count);
    }

    [Theory]
    [InlineData(0x00, DefaultCapabilities)]
    [InlineData(0x08, 0x00010400)]
    [InlineData(0x0c, 0)]
    [InlineData(0x10, 0)]
    [InlineData(0x14, 0)]
    [InlineData(0x18, 0)]
    [InlineData(0x1c, 0)]
    [InlineData(0x20, 0)]
    [InlineData(0x24, 0)]
    [InlineData(0x28, 0)]
    [InlineData(0x30, 0)]
    [InlineData(0x38, 0)]
    [InlineData(0x3c, 0)]
    [InlineData(0x40, 0)]
    [InlineData(0x50, 0)]
    [InlineData(0x58, 0)]
    [InlineData(0x68, 0)]
    [InlineData(0xe00, 0)]
    [InlineData(0xffc, 0)]
    [InlineData(0x1000, 0)]
    [InlineData(0x1ffc, 0)]
    [InlineData(0x2800, 0)]
    [InlineData(0x3ff0, 0)]
    public void Register_AfterReset_HasItsValue(int offset, ulong value)
    {
        using var rig = new NvmeRig();
        ulong wide = offset % 8 == 0 ? rig.Read64((ulong)offset) : rig.Read32((ulong)offset);
        Assert.Equal((uint)value, rig.Read32((ulong)offset));
        if (offset == 0)
        {
            Assert.Equal(value, wide);
            Assert.Equal((uint)(value >> 32), rig.Read32(4));
        }
    }

    [Theory]
    [InlineData(0x28)]
    [InlineData(0x30)]
    public void QueueAddress_InHalvesAndWhole_IsTheSame(int offset)
    {
        using var rig = new NvmeRig();
        rig.Write32((ulong)offset, 0x12345fff);
        rig.Write32((ulong)offset + 4, 0x9abcdef0);
        Assert.Equal(0x9abcdef0_12345000, rig.Read64((ulong)offset));
        rig.Write64((ulong)offset, 0x11111111_22222222);
        Assert.Equal(0x22222000u, rig.Read32((ulong)offset));
        Assert.Equal(0x11111111u, rig.Read32((ulong)offset + 4));
    }

    [Fact]
    public void AdminQueueAttributes_KeepOnlyTheirBits()
    {
        using var rig = new NvmeRig();
        rig.Write32(NvmeRegisters.AdminQueueAttributes, uint.MaxValue);
        Assert.Equal(0x0fff0fffu, rig.Read32(NvmeRegisters.AdminQueueAttributes));
    }

    [Theory]
    [InlineData(0x00)]
    [InlineData(0x08)]
    [InlineData(0x1c)]
    [InlineData(0x20)]
    [InlineData(0x38)]
    [InlineData(0x3c)]
    [InlineData(0x68)]
    [InlineData(0xe00)]
    public void ReadOnlyRegister_Written_DoesNotChange(int offset)
    {
        using var rig = new NvmeRig();
        uint before = rig.Read32((ulong)offset);
        rig.Write32((ulong)offset, uint.MaxValue);
        Assert.Equal(before, rig.Read32((ulong)offset));
    }

    [Fact]
    public void Access_NarrowerThanARegister_ReadsItsPartAndWritesNothing()
    {
        using var rig = new NvmeRig();
        Span<byte> one = stackalloc byte[1];
        Assert.Equal(Errno.None, rig.File.Read(VfioRegions.Bar0, 10, one, out _));
        Assert.Equal(1, one[0]);
        one[0] = 1;
        Assert.Equal(Errno.None, rig.File.Write(VfioRegions.Bar0, NvmeRegisters.Configuration, one, out _));
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Configuration));
    }

    [Fact]
    public void InterruptMask_SetAndCleared_IsSeenInBoth()
    {
        using var rig = new NvmeRig();
        rig.Write32(NvmeRegisters.InterruptMaskSet, 0xf0);
        rig.Write32(NvmeRegisters.InterruptMaskSet, 0x0f);
        rig.Write32(NvmeRegisters.InterruptMaskClear, 0x81);
        Assert.Equal(0x7eu, rig.Read32(NvmeRegisters.InterruptMaskSet));
        Assert.Equal(0x7eu, rig.Read32(NvmeRegisters.InterruptMaskClear));
    }

    [Fact]
    public void Enable_WithQueues_IsReadyByTheNextRead()
    {
        using var rig = new NvmeRig();
        ulong pages = rig.Pages(2);
        rig.Write32(NvmeRegisters.AdminQueueAttributes, 0x001f001f);
        rig.Write64(NvmeRegisters.AdminSubmissionQueue, pages);
        rig.Write64(NvmeRegisters.AdminCompletionQueue, pages + NvmeRig.Page);
        rig.Write32(NvmeRegisters.Configuration, 0x00460001);
        Assert.Equal(1u, rig.Read32(NvmeRegisters.Status));
        Assert.Equal(0x00460001u, rig.Read32(NvmeRegisters.Configuration));
    }

    [Theory]
    [InlineData(0x00000001u, 0x001f001fu, true)]
    [InlineData(0x00460001u, 0x00010001u, true)]
    [InlineData(0x00460001u, 0x0fff0fffu, true)]
    [InlineData(0x00460001u, 0x001f0000u, false)]
    [InlineData(0x00460001u, 0x0000001fu, false)]
    [InlineData(0x00460081u, 0x001f001fu, false)]
    [InlineData(0x00460011u, 0x001f001fu, false)]
    [InlineData(0x00460061u, 0x001f001fu, false)]
    [InlineData(0x00460801u, 0x001f001fu, false)]
    [InlineData(0x00450001u, 0x001f001fu, false)]
    [InlineData(0x00560001u, 0x001f001fu, false)]
    public void Enable_WithSomeConfiguration_IsReadyOrFatal(uint configuration, uint attributes, bool isReady)
    {
        using var rig = new NvmeRig();
        rig.Write32(NvmeRegisters.AdminQueueAttributes, attributes);
        rig.Write64(NvmeRegisters.AdminSubmissionQueue, rig.Pages(64));
        rig.Write64(NvmeRegisters.AdminCompletionQueue, rig.Pages(16));
        rig.Write32(NvmeRegisters.Configuration, configuration);
        Assert.Equal(isReady ? 1u : 2u, rig.Read32(NvmeRegisters.Status));
        rig.Write32(NvmeRegisters.Configuration, 0);
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Enable_WithAQueueThatIsNotMapped_IsFatal(bool completions)
    {
        using var rig = new NvmeRig();
        ulong page = rig.Pages();
        rig.Write32(NvmeRegisters.AdminQueueAttributes, 0x001f001f);
        rig.Write64(NvmeRegisters.AdminSubmissionQueue, completions ? page : 0x7000_0000);
        rig.Write64(NvmeRegisters.AdminCompletionQueue, completions ? 0x7000_0000 : page);
        rig.Write32(NvmeRegisters.Configuration, 0x00460001);
        Assert.Equal(2u, rig.Read32(NvmeRegisters.Status));
    }

    [Fact]
    public void QueueRegisters_WrittenWhileEnabled_DoNotChange()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        uint attributes = rig.Read32(NvmeRegisters.AdminQueueAttributes);
        ulong address = rig.Read64(NvmeRegisters.AdminSubmissionQueue);
        rig.Write32(NvmeRegisters.AdminQueueAttributes, 0);
        rig.Write64(NvmeRegisters.AdminSubmissionQueue, 0);
        Assert.Equal(attributes, rig.Read32(NvmeRegisters.AdminQueueAttributes));
        Assert.Equal(address, rig.Read64(NvmeRegisters.AdminSubmissionQueue));
    }

    [Fact]
    public void Configuration_WrittenWhileEnabled_ChangesOnlyShutdownAndEnable()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.Write32(NvmeRegisters.Configuration, 0x00ff3ff1);
        Assert.Equal(0x00460001u, rig.Read32(NvmeRegisters.Configuration));
        Assert.True(rig.Status.Ready);
    }

    [Fact]
    public void Disable_KeepsTheAdminQueuesAddresses()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        ulong address = rig.Read64(NvmeRegisters.AdminCompletionQueue);
        rig.Write32(NvmeRegisters.InterruptMaskSet, 1);
        rig.Write32(NvmeRegisters.Configuration, 0x00460000);
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
        Assert.Equal(0u, rig.Read32(NvmeRegisters.InterruptMaskSet));
        Assert.Equal(address, rig.Read64(NvmeRegisters.AdminCompletionQueue));
        Assert.Equal(0x001f001fu, rig.Read32(NvmeRegisters.AdminQueueAttributes));
    }

    [Theory]
    [InlineData(0x4000u)]
    [InlineData(0x8000u)]
    public void Shutdown_OfAnIdleMemoryDisk_IsCompleteByTheNextRead(uint notice)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.Write32(NvmeRegisters.Configuration, 0x00460001 | notice);
        Assert.Equal(9u, rig.Read32(NvmeRegisters.Status));
        rig.Write32(NvmeRegisters.Configuration, 0x00460001);
        Assert.Equal(9u, rig.Read32(NvmeRegisters.Status));
        rig.Write32(NvmeRegisters.Configuration, 0x00460000);
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
        rig.Write32(NvmeRegisters.Configuration, 0x00460001);
        Assert.Equal(1u, rig.Read32(NvmeRegisters.Status));
    }

    [Fact]
    public void Shutdown_ThenIo_IsNotTaken()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        NvmeHostQueue queue = rig.CreatePair();
        rig.Write32(NvmeRegisters.Configuration, 0x00464001);
        queue.Submit(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
        rig.File.Reset();
        Assert.False(queue.CompletionRing.TryTake(out _));
    }

    [Fact]
    public void Doorbell_WhileNotReady_IsIgnored()
    {
        using var rig = new NvmeRig();
        rig.Write32(NvmeRegisters.Doorbells, 5);
        rig.Write32(NvmeRegisters.Doorbells + 4, 5);
        rig.Enable();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
    }

    [Fact]
    public void SubsystemReset_IsNotOffered()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.Write32(NvmeRegisters.SubsystemReset, NvmeRegisters.SubsystemResetSignature);
        Assert.True(rig.Status.Ready);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void FunctionReset_AtWork_BringsEverythingBackToTheStart(bool functionLevel)
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.CreatePair();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.SetFeatures, Cdw10 = (uint)NvmeFeatureId.Arbitration, Cdw11 = 3 });
        if (functionLevel)
        {
            rig.ResetFunction();
        }
        else
        {
            rig.File.Reset();
        }

        Assert.Equal(0u, rig.Read32(NvmeRegisters.Configuration));
        Assert.Equal(0u, rig.Read32(NvmeRegisters.Status));
        Assert.Equal(0ul, rig.Read64(NvmeRegisters.AdminSubmissionQueue));
        rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        rig.Enable();
        Assert.Equal(0u, rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.GetFeatures, Cdw10 = (uint)NvmeFeatureId.Arbitration }));
        rig.CreatePair().Ok(NvmeRig.Io(NvmeIoOpcode.Flush, 0, 1, 0));
    }

    [Fact]
    public void BusMaster_TakenAway_LeavesTheControllerFatalAndResettable()
    {
        using NvmeRig rig = new NvmeRig().Enable();
        rig.SetCommand(PciCommand.Memory);
        rig.Admin.Submit(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
        NvmeRig.WaitUntil(() => rig.Status.Fatal, "the controller does not say that it cannot go on");
        rig.SetCommand(PciCommand.Memory | PciCommand.BusMaster);
        rig.Disable();
        rig.Enable();
        rig.AdminOk(new NvmeCommand { Opcode = (byte)NvmeAdminOpcode.KeepAlive });
    }
}
