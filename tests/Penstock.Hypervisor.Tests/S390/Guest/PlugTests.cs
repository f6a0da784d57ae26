using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Functions that come and go.</summary>
public sealed class PlugTests
{
    [Fact]
    public void Plug_WhileTheGuestRuns_EventsAsTheTableSays()
    {
        using var rig = new ZpciGuestRig();
        rig.Plug();
        Assert.Empty(rig.TakeEvents());
        ZpciGuestFunction configured = rig.Plug(hot: true);
        ZpciGuestFunction standby = rig.Plug(hot: true, configured: false);
        ZpciAvailabilityEventBlock[] events = [.. rig.TakeEvents().Select(static e => ZpciAvailabilityEventBlock.Read(e.Block.Span))];
        Assert.Equal([ZpciAvailabilityEvent.Configured, ZpciAvailabilityEvent.ReservedToStandby], events.Select(static e => e.Code));
        Assert.Equal([configured.FunctionId, standby.FunctionId], events.Select(static e => e.FunctionId));
        Assert.Equal([configured.Handle, standby.Handle], events.Select(static e => e.Handle));
    }

    [Fact]
    public void Unplug_GuestAgrees_DeconfiguredThenGoneAndClosed()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugEnabled();
        ZpciVfioPciDevice device = rig.LastDevice!;
        rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts());
        rig.Modify(function, ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat());
        Assert.False(rig.Bus.RequestUnplug(function));
        Assert.False(rig.Bus.RequestUnplug(function));
        Assert.True(device.IsOpen);
        Assert.Equal(ZpciSclpResponse.Done, rig.Bus.Deconfigure(function.FunctionId));
        Assert.Equal(
            [ZpciAvailabilityEvent.DeconfigureRequest, ZpciAvailabilityEvent.DeconfigureRequest, ZpciAvailabilityEvent.StandbyToReserved], rig.TakeAvailability());
        Assert.Equal(ZpciFunctionState.Reserved, function.State);
        Assert.False(function.HasInterrupts);
        Assert.False(function.HasTranslation);
        Assert.Empty(rig.Bus.Functions);
        Assert.False(device.IsOpen);
        Assert.False(device.IsRegistered);
    }

    [Fact]
    public void Unplug_GuestDoesNotAnswer_DoneByAReset()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugEnabled();
        ZpciGuestFunction other = rig.PlugEnabled();
        Assert.False(rig.Bus.RequestUnplug(function));
        rig.TakeEvents();
        rig.Bus.SystemReset();
        Assert.Equal([ZpciAvailabilityEvent.StandbyToReserved], rig.TakeAvailability());
        Assert.Equal([other], rig.Bus.Functions);
        Assert.Equal(ZpciFunctionState.Disabled, other.State);
    }

    [Fact]
    public void Remove_WithoutAsking_EverythingIsTornDownAndTheGuestTold()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.PlugEnabled();
        rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts());
        rig.Modify(function, ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat());
        rig.Modify(function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = 0xa000 });
        uint handle = function.Handle;
        function.Dispose();
        function.Dispose();
        Assert.Equal([ZpciAvailabilityEvent.ConfiguredToStandby], rig.TakeAvailability());
        Assert.Equal(0, rig.Clock.Alarms);
        Assert.Equal(ZpciConditionCode.InvalidHandle, rig.Bus.Load(2, ZpciGuestRig.Request(handle, length: 4), 0).ConditionCode);
    }

    [Fact]
    public void Close_BeforeTheBusKnows_NothingThrowsAndNothingStays()
    {
        using var rig = new ZpciGuestRig();
        VfioDeviceFile file = rig.Open();
        ZpciGuestFunction function = rig.Bus.Plug(file, new ZpciFunctionOptions { Container = rig.LastContainer });
        rig.Set(function, ZpciSetOperation.Enable);
        rig.Modify(function, ZpciModifyOperation.RegisterInterrupts, ControlsTests.Interrupts());
        file.Dispose();
        Assert.Equal(0xffff_fffful, rig.Bus.Load(2, ZpciGuestRig.Request(function, length: 4), 0).Value);
        Assert.Equal(ZpciConditionCode.Done, rig.Bus.Store(2, ZpciGuestRig.Request(function, length: 4), 0, 1).ConditionCode);
        Assert.Equal(ZpciSclpResponse.Done, rig.Bus.Deconfigure(function.FunctionId));
    }

    [Fact]
    public void Plug_IdsInUse_EINVALAndTheFileStaysTheCallers()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction first = rig.Plug();
        using VfioDeviceFile file = rig.Open();
        Assert.Equal(Errno.EINVAL, ErrnoOf(rig, file, new ZpciFunctionOptions { FunctionId = first.FunctionId }));
        Assert.Equal(Errno.EINVAL, ErrnoOf(rig, file, new ZpciFunctionOptions { UserId = first.UserId }));
        Assert.Equal(Errno.EINVAL, ErrnoOf(rig, file, new ZpciFunctionOptions { UserId = 0 }));
        Assert.Equal([first], rig.Bus.Functions);
        Assert.NotEqual(0, file.GetInfo().RegionCount);
    }

    [Fact]
    public void Plug_NoMsix_Refused()
    {
        using var rig = new ZpciGuestRig();
        using VfioDeviceFile file = rig.Open(new PlainFunction());
        Assert.Equal(Errno.EINVAL, ErrnoOf(rig, file, new ZpciFunctionOptions()));
    }

    [Fact]
    public void Plug_DeviceWithoutAZpciFunction_EmulatedHandleAndDefaultGroup()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.Bus.Plug(rig.Open(isZpci: false), new ZpciFunctionOptions { Container = rig.LastContainer });
        Assert.Equal(ZpciHandle.EmulatedDevice, function.Handle & ZpciHandle.HypervisorMask);
        Assert.Equal(ZpciLimits.DefaultGroup, function.Group.Id);
        Assert.Equal(ZpciLimits.EndDma, function.EndDma);
        Assert.False(function.Group.HasRelaxedTranslation);
        Assert.Equal(ZpciHandle.InterceptedDevice, rig.Plug().Handle & ZpciHandle.HypervisorMask);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Plug_ContainerHasALimit_WindowAsLongAsThereAreMappingsUnlessRelaxed(bool relaxed)
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction function = rig.Plug(relaxed: relaxed);
        ulong limit = (ulong)rig.LastContainer!.AvailableMappings;
        Assert.Equal(relaxed ? ZpciLimits.EndDma : ZpciLimits.StartDma + (limit * 4096) - 1, function.EndDma);
    }

    [Fact]
    public void Reset_InternalSharedMemory_DeviceIsResetAtResetAndShutdown()
    {
        using var rig = new ZpciGuestRig();
        var hardware = new PlainFunction(msix: true);
        var zpci = new ZpciFunction(1, 1)
        {
            Firmware = rig.Machine.Firmware,
            Base = new ZpciBaseInfo { StartDma = ZpciLimits.StartDma, EndDma = ZpciLimits.EndDma, FunctionType = ZpciClpQueryFunctionResponse.IsmFunction },
        };
        ZpciGuestFunction function = rig.Plug(hardware, zpci, relaxed: true);
        ZpciGuestFunction ordinary = rig.Plug();
        Assert.True(function.IsSharedMemory);
        Assert.False(function.Group.HasRelaxedTranslation);
        Assert.False(ordinary.IsSharedMemory);
        int before = hardware.Resets;
        rig.Bus.SystemReset();
        Assert.Equal(before + 1, hardware.Resets);
        rig.Bus.Shutdown();
        Assert.Equal(before + 2, hardware.Resets);
        Assert.Equal(ZpciClpResponse.Ok, rig.Set(function, ZpciSetOperation.Enable));
        Assert.Equal(ZpciProgramException.Operand, rig.Modify(function, ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat(iota: 0)).Exception);
    }

    [Fact]
    public void Events_GuestNeverAsks_OldestStayAndTheRestIsCounted()
    {
        using var rig = new ZpciGuestRig(maximumEvents: 4);
        ZpciGuestFunction function = rig.Plug();
        for (int i = 0; i < 10; i++)
        {
            rig.Bus.RequestUnplug(function);
        }

        Assert.Equal(4, rig.Bus.PendingEvents);
        Assert.Equal(6, rig.Bus.DroppedEvents);
    }

    [Fact]
    public void Index_ManyPluggedAndGone_NotReusedAtOnce()
    {
        using var rig = new ZpciGuestRig();
        ZpciGuestFunction first = rig.Plug();
        rig.Bus.Remove(first);
        ZpciGuestFunction second = rig.Plug();
        Assert.NotEqual(first.Index, second.Index);
        Assert.Equal(second, rig.Bus.FindById(second.FunctionId));
    }

    private static Errno ErrnoOf(ZpciGuestRig rig, VfioDeviceFile file, ZpciFunctionOptions options) =>
        Outcomes.ErrnoOf(() => rig.Bus.Plug(file, options));

    /// <summary>Hardware that counts its resets, with a BAR and maybe vectors.</summary>
    private sealed class PlainFunction(bool msix = false) : IPciFunction
    {
        private int _resets;

        public int Resets => Volatile.Read(ref _resets);

        public PciFunctionDescription Description { get; } = new()
        {
            VendorId = 0x1014,
            DeviceId = 0x04ed,
            ClassCode = 0xff0000,
            Bars = [new PciBar(0, PciBarKind.Memory64, 0x4000)],
            Capabilities = () => msix ? [new MsixCapability(1, 0, 0x2000, 0, 0x3000)] : [],
        };

        public void Attach(PciFunctionPort port)
        {
        }

        public Errno ReadBar(int bar, ulong offset, Span<byte> data)
        {
            data.Clear();
            return Errno.None;
        }

        public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data) => Errno.None;

        public void Reset(PciResetKind kind) => Interlocked.Increment(ref _resets);
    }
}
