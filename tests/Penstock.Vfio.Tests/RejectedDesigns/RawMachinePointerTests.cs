namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>Why the copy of the machine at first open is a reference.</summary>
public sealed class RawMachinePointerTests
{
    [Fact]
    [Trait("Row", "S0-1")]
    public void RawPointer_MachineGoesFirst_DeviceIsOpenWithAFreedMachine()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        var raw = new RawMachinePointer(rig.Device);
        var freed = new FakeMachine();
        var leased = new FakeMachine();
        raw.OfGroup = freed;
        group.SetHypervisor(leased);
        VfioDeviceFile file = group.OpenDevice("fake0");

        // The user closes its VFIO device of the machine, then the machine, then its device files.
        raw.OfGroup = null;
        group.SetHypervisor(null);
        freed.Release();
        leased.Release();
        Assert.True(raw.OfDevice!.IsDead);
        Assert.Same(leased, rig.Device.Hypervisor);
        Assert.False(leased.IsDead);
        file.Dispose();
        Assert.True(leased.IsDead);
        group.Dispose();
        container.Dispose();
    }
}
