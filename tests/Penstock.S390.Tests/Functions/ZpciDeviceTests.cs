using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Pci.Tests;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Functions;

public sealed class ZpciDeviceTests
{
    [Fact]
    [Trait("Row", "S2-1")]
    public void Open_NoMachine_OpensUnregistered()
    {
        using var rig = new ZpciRig();
        var hook = new FakeZpciHook();
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        using VfioDeviceFile file = rig.Open();
        Assert.Empty(hook.Registered);
        Assert.False(rig.Device.IsRegistered);
    }

    [Fact]
    [Trait("Row", "S2-1")]
    [Trait("Row", "S2-2")]
    public void Open_MachineAndHook_IsRegisteredUntilLastClose()
    {
        using var rig = new ZpciRig();
        var hook = new FakeZpciHook();
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        rig.Group.SetHypervisor(rig.Machine);
        VfioDeviceFile first = rig.Open();
        using (rig.Open())
        {
            Assert.Equal([(rig.Device, (IHypervisor)rig.Machine)], hook.Registered);
        }

        Assert.Single(hook.Registered);
        first.Dispose();
        Assert.Empty(hook.Registered);
    }

    [Fact]
    [Trait("Row", "S2-1")]
    public void Open_MachineButNoHook_ENOENT()
    {
        using var rig = new ZpciRig();
        rig.Group.SetHypervisor(rig.Machine);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => rig.Open()));
        rig.Group.SetHypervisor(null);
        rig.Open().Dispose();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "S2-1")]
    public void Open_NotAZpciFunction_ENODEV(bool machine)
    {
        using var rig = new ZpciRig(isZpci: false);
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(new FakeZpciHook());
        rig.Group.SetHypervisor(machine ? rig.Machine : null);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => rig.Open()));
    }

    [Fact]
    [Trait("Row", "S2-2")]
    [Trait("Row", "S2-4")]
    public void Hook_DeviceRegistered_CannotBeRemovedAndIsDrainedByDisposal()
    {
        using var rig = new ZpciRig();
        var hook = new FakeZpciHook();
        HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        rig.Group.SetHypervisor(rig.Machine);
        VfioDeviceFile file = rig.Open();
        Assert.Equal(Errno.EBUSY, ErrnoOf(registration.Remove));
        Assert.Single(hook.Registered);

        // Unloaded while in use: nobody new gets it, the device still finds it at its close.
        registration.Dispose();
        Assert.False(registration.Drained.IsCompleted);
        file.Dispose();
        Assert.Empty(hook.Registered);
        Assert.True(registration.Drained.IsCompletedSuccessfully);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => rig.Open()));
    }

    [Fact]
    [Trait("Row", "S2-5")]
    public void Open_SwitchOff_HooksDoNothing()
    {
        using var rig = new ZpciRig(registers: false);
        rig.Group.SetHypervisor(rig.Machine);
        using (rig.Open())
        {
            Assert.Same(rig.Machine, rig.Device.Hypervisor);
            Assert.NotNull(rig.Device.Zpci);
        }

        var hook = new FakeZpciHook { Error = Errno.EIO };
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        byte[] chain;
        using (VfioDeviceFile file = rig.Open())
        {
            chain = InfoOf(file);
        }

        // What users read of the function does not depend on the switch.
        using var on = new ZpciRig();
        using HookRegistration<IZpciVmHook> works = on.Host.Slot<IZpciVmHook>().Install(new FakeZpciHook());
        on.Group.SetHypervisor(on.Machine);
        using (VfioDeviceFile file = on.Open())
        {
            Assert.True(on.Device.IsRegistered);
            Assert.Equal(InfoOf(file), chain);
            Assert.NotEqual(0u, MemoryMarshal.Read<VfioDeviceGetInfo>(chain).CapabilityOffset);
        }

        using var plain = new ZpciRig(isZpci: false, registers: false);
        plain.Open().Dispose();
    }

    [Theory]
    [InlineData(Errno.EINVAL)]
    [InlineData(Errno.ENOSPC)]
    [InlineData(Errno.EIO)]
    [Trait("Row", "S2-7")]
    public void Open_RegisterFails_ExactErrorAndNothingIsLeft(Errno error)
    {
        using var rig = new ZpciRig();
        var hook = new FakeZpciHook { Error = error };
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        rig.Group.SetHypervisor(rig.Machine);
        Assert.Equal(error, ErrnoOf(() => rig.Open()));
        Assert.Null(rig.Device.Hypervisor);
        Assert.False(rig.Device.IsOpen);
        Assert.Equal(1, rig.Machine.References);
        Assert.Equal(0, registration.Uses);

        // No device file counts: the group may leave its container, and everything works once the hook does.
        rig.Group.UnsetContainer();
        rig.Group.SetContainer(rig.Container);
        rig.Container.SetIommu(VfioIommuType.Type1V2);
        hook.Error = Errno.None;
        rig.Open().Dispose();
    }

    [Fact]
    [Trait("Row", "S0-3")]
    public void Hooks_InOpenAndClose_RunBetweenResetAndConfiguration()
    {
        using var rig = new ZpciRig();
        var trace = new List<string>();
        var hook = new FakeZpciHook();
        using HookRegistration<IZpciVmHook> registration = rig.Host.Slot<IZpciVmHook>().Install(hook);
        rig.Function.OnReset = () => trace.Add("reset");
        hook.OnRegister = () => trace.Add("register");
        hook.OnUnregister = () => trace.Add($"unregister, vectors {rig.Function.Port.UsesVectors}, master {rig.Function.Port.Dma.BusMasterEnabled}");
        rig.Group.SetHypervisor(rig.Machine);
        using var vector = EventDescriptor.Create();
        using (VfioDeviceFile file = rig.Open())
        {
            file.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)PciCommand.BusMaster, 0], out _);
            file.SetIrqs(new VfioIrqRequest
            {
                Flags = VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger,
                Index = VfioIrqs.Msix,
                Count = 1,
                Events = new[] { vector },
            });
            trace.Add("used");
        }

        Assert.Equal(["reset", "register", "used", "unregister, vectors False, master False", "reset"], trace);
    }

    [Fact]
    [Trait("Row", "S0-3")]
    public void PlatformHooks_ConfigurationSpace_IsSetUpAfterAndGoneBefore()
    {
        using var device = new PlatformDevice();
        device.Open();
        Assert.Equal(PciCommand.None, device.Command);
        device.Command = PciCommand.Memory;
        device.Close();
        Assert.Equal(PciCommand.None, device.AtDisable);
    }

    private static byte[] InfoOf(VfioDeviceFile file)
    {
        byte[] bytes = new byte[512];
        BitConverter.TryWriteBytes(bytes, bytes.Length);
        Assert.Equal(0, file.Ioctl((uint)VfioDeviceRequest.GetInfo, bytes));
        return bytes;
    }

    /// <summary>A device whose platform touches configuration space when it is enabled.</summary>
    private sealed class PlatformDevice() : VfioPciCoreDevice("0000:01:00.0", TestDevice.FullFunction(), TestTopology.NewGroup())
    {
        public PciCommand AtDisable { get; private set; } = PciCommand.Memory;

        public PciCommand Command
        {
            get => Config.Command;
            set => Config.Write(PciConfigOffsets.Command, [(byte)value, 0], out _);
        }

        public new void Open() => base.Open();

        public new void Close() => base.Close();

        protected override void EnablePlatform() => Command = PciCommand.Memory;

        protected override void DisablePlatform() => AtDisable = Command;
    }
}
