using Penstock.Interop;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;
using Penstock.Vfio.Tests;

namespace Penstock.Pci.Tests;

public sealed class LowPowerTests : IDisposable
{
    private const VfioFeatureFlags Set = VfioFeatureFlags.Set;

    private readonly ProcessMemory _memory = ProcessMemory.Allocate(0x1000);
    private readonly FakeFunction _function;
    private readonly MigrationRig _rig;

    public LowPowerTests()
    {
        _function = new FakeFunction
        {
            Description = new PciFunctionDescription
            {
                VendorId = 0x1b36,
                DeviceId = 0x0011,
                ClassCode = 0xff0000,
                InterruptPin = 1,
                InitialCommand = PciCommand.Memory | PciCommand.BusMaster,
                Bars = [new PciBar(0, PciBarKind.Memory32, 0x1000), new PciBar(1, PciBarKind.Memory32, 0x1000) { Memory = _memory }],
                Capabilities = static () => [new PowerManagementCapability(), new MsiCapability(1)],
            },
        };
        _rig = new MigrationRig(_function);
    }

    private VfioDeviceFile File => _rig.File;

    public void Dispose()
    {
        _rig.Dispose();
        _memory.Release();
    }

    [Fact]
    [Trait("Row", "L1")]
    public void Entry_Twice_EINVALExit_AlwaysWorks()
    {
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        Assert.Equal(Errno.EINVAL, File.Call(VfioFeature.LowPowerEntry, Set));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
    }

    [Theory]
    [InlineData(VfioFeature.LowPowerEntry)]
    [InlineData(VfioFeature.LowPowerEntryWithWakeup)]
    [InlineData(VfioFeature.LowPowerExit)]
    [Trait("Row", "F2")]
    public void Probe_LowPower_SetOnly(VfioFeature feature)
    {
        Assert.Equal(Errno.None, File.Call(feature, VfioFeatureFlags.Probe));
        Assert.Equal(Errno.None, File.Call(feature, VfioFeatureFlags.Probe | Set));
        Assert.Equal(Errno.EINVAL, File.Call(feature, VfioFeatureFlags.Probe | VfioFeatureFlags.Get));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
    }

    [Fact]
    [Trait("Row", "L2")]
    public void Entered_Mapping_FaultsConfigSpace_Works()
    {
        using VfioRegionMapping mapping = File.Map(1, 0, 0x1000);
        byte[] data = new byte[4];
        Assert.Equal(Errno.None, mapping.Write(0, [1, 2, 3, 4]));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        Assert.Equal(Errno.EFAULT, mapping.Read(0, data));
        Assert.Equal(Errno.None, File.Read(VfioRegions.Config, 0, data, out _));
        Assert.Equal((byte[])[0x36, 0x1b, 0x11, 0x00], data);

        // Without a wake-up the call did not end it.
        Assert.Equal(Errno.EFAULT, mapping.Read(0, data));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.Equal(Errno.None, mapping.Read(0, data));
        Assert.Equal((byte[])[1, 2, 3, 4], data);
    }

    [Fact]
    [Trait("Row", "L3")]
    public void WithWakeup_DescriptorThatIsNone_Refused()
    {
        Assert.Equal(Errno.EINVAL, EnterWithWakeup(-1));

        // No process has so many files, so nobody opens this one meanwhile.
        Assert.Equal(Errno.EBADF, EnterWithWakeup(int.MaxValue - 1));
        using (MemoryFile file = MemoryFile.Create("no eventfd", 4096))
        {
            Assert.Equal(Errno.EINVAL, EnterWithWakeup(file.Descriptor.Value));
        }

        Assert.Equal(Errno.EINVAL, File.Call(VfioFeature.LowPowerEntryWithWakeup, Set, new byte[7]));

        // None of these has entered it.
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
    }

    [Theory]
    [Trait("Row", "L4")]
    [InlineData("config")]
    [InlineData("bar")]
    [InlineData("info")]
    [InlineData("reset")]
    public void WithWakeup_FirstAccess_SignalsOnceAndEndsIt(string access)
    {
        using VfioRegionMapping mapping = File.Map(1, 0, 0x1000);
        using EventDescriptor wakeup = EventDescriptor.Create();
        Assert.Equal(Errno.None, EnterWithWakeup(wakeup.Descriptor.Value));
        Assert.Equal(0ul, wakeup.Count());
        Assert.Equal(Errno.EFAULT, mapping.Read(0, new byte[1]));
        for (int i = 0; i < 2; i++)
        {
            switch (access)
            {
                case "config":
                    Assert.Equal(Errno.None, File.Read(VfioRegions.Config, 0, new byte[1], out _));
                    break;
                case "bar":
                    Assert.Equal(Errno.None, File.Write(0, 0, new byte[1], out _));
                    break;
                case "info":
                    File.GetInfo();
                    break;
                default:
                    File.Reset();
                    break;
            }

            Assert.Equal(i == 0 ? 1ul : 0, wakeup.Count());
        }

        Assert.Equal(Errno.None, mapping.Read(0, new byte[1]));
        Assert.Equal(Errno.None, EnterWithWakeup(wakeup.Descriptor.Value));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.Equal(1ul, wakeup.Count());
    }

    [Fact]
    [Trait("Row", "L5")]
    public void Suspended_Pin_IsMaskedAndUnmaskedAgainUnlessTheUserMaskedIt()
    {
        using EventDescriptor intx = EventDescriptor.Create();
        Assert.Equal(Errno.None, Irq(VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger, intx));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        _function.Port.SetIntx(true);
        Assert.Equal(0ul, intx.Count());
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.Equal(1ul, intx.Count());

        // Masked by the user: waking up does not unmask.
        _function.Port.SetIntx(false);
        Assert.Equal(Errno.None, Irq(VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionMask, null));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        _function.Port.SetIntx(true);
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.Equal(0ul, intx.Count());
        Assert.Equal(Errno.None, Irq(VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionUnmask, null));
        Assert.Equal(1ul, intx.Count());
    }

    [Fact]
    public void Suspended_Function_DoesNothingByItself()
    {
        using var ran = new ManualResetEventSlim();
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        _function.Port.Dma.Post(() => ran.Set());
        Assert.False(ran.Wait(50));
        Assert.Equal(Errno.EBUSY, _function.Port.Dma.Write(0, new byte[4]));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerExit, Set));
        Assert.True(ran.Wait(TimeSpan.FromMinutes(2)));
        Assert.Equal(Errno.None, _function.Port.Dma.Write(0, new byte[4]));
    }

    [Fact]
    public void Suspend_FromD3_IsInD0Afterwards()
    {
        byte[] control = new byte[2];
        Assert.Equal(Errno.None, File.Write(VfioRegions.Config, 0x44, [3, 0], out _));
        Assert.Equal(Errno.None, File.Call(VfioFeature.LowPowerEntry, Set));
        Assert.Equal(Errno.None, File.Read(VfioRegions.Config, 0x44, control, out _));
        Assert.Equal(0, control[0] & 3);
    }

    [Fact]
    public void LastClose_Entered_NextUserIsAwake()
    {
        using EventDescriptor wakeup = EventDescriptor.Create();
        Assert.Equal(Errno.None, EnterWithWakeup(wakeup.Descriptor.Value));
        File.Dispose();
        Assert.Equal(0ul, wakeup.Count());
        using VfioDeviceFile next = _rig.GroupFile.OpenDevice(_rig.Device.Name);
        Assert.Equal(Errno.None, next.Call(VfioFeature.LowPowerEntry, Set));
    }

    private Errno EnterWithWakeup(int descriptor)
    {
        var entry = new VfioFeatureLowPowerWakeup { WakeupEvent = descriptor };
        return File.Call(VfioFeature.LowPowerEntryWithWakeup, Set, ref entry);
    }

    private Errno Irq(VfioIrqSetFlags flags, EventDescriptor? e)
    {
        File.SetIrqs(new VfioIrqRequest { Flags = flags, Index = VfioIrqs.Intx, Start = 0, Count = 1, Events = e is null ? [] : [e] });
        return Errno.None;
    }
}
