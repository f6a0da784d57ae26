namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>Why drivers are not told of machines, but given one for as long as they are open.</summary>
public sealed class GroupNotifierTests : IDisposable
{
    private readonly Rig _rig = new();
    private readonly GroupNotifier _notifier = new();
    private readonly FakeMachine _machine = new();
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;

    public GroupNotifierTests() => (_container, _group) = _rig.Ready();

    public void Dispose()
    {
        _group.Dispose();
        _container.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "S0-1")]
    public void Notifier_Replay_TellsWhoOpensLater()
    {
        var driver = new NotifiedDriver(_rig.Device, _notifier);
        _notifier.Set(_machine);
        using VfioDeviceFile file = _group.OpenDevice("fake0");
        Assert.Same(_machine, driver.Machine);
        Assert.Equal(1, driver.Notifications);
    }

    [Fact]
    [Trait("Row", "S0-1")]
    public void Notifier_DriverMissesNull_KeepsADeadMachine()
    {
        var driver = new NotifiedDriver(_rig.Device, _notifier, handlesNull: false);
        _notifier.Set(_machine);
        using VfioDeviceFile file = _group.OpenDevice("fake0");
        _notifier.Set(null);
        _machine.Release();
        Assert.True(driver.Machine!.IsDead);

        // What replaced it: there is no null to miss.
        AssertLeased();
    }

    [Fact]
    [Trait("Row", "S0-1")]
    public void Notifier_SetWhileOpen_ChangesTheMachineUnderTheDriver()
    {
        var driver = new NotifiedDriver(_rig.Device, _notifier);
        using VfioDeviceFile file = _group.OpenDevice("fake0");
        Assert.Null(driver.Machine);
        _notifier.Set(_machine);
        Assert.Same(_machine, driver.Machine);
        _notifier.Set(null);
        Assert.Null(driver.Machine);
        AssertLeased();
    }

    [Fact]
    [Trait("Row", "S0-1")]
    public void Notifier_CloseForgetsToUnregister_IsLeakedAndCalledForAClosedDevice()
    {
        var driver = new NotifiedDriver(_rig.Device, _notifier, unregisters: false);
        _group.OpenDevice("fake0").Dispose();
        Assert.Equal(1, _notifier.Handlers);
        _notifier.Set(_machine);
        Assert.False(_rig.Device.IsOpen);
        Assert.Same(_machine, driver.Machine);

        // What replaced it: nothing to register, so nothing to forget.
        AssertLeased();
    }

    /// <summary>The final design at the same points: set before the first open, the same until the last close, alive in between.</summary>
    private void AssertLeased()
    {
        (IommuGroup other, FakeDevice device) = _rig.Second();
        var machine = new FakeMachine();
        using VfioContainer container = _rig.OpenContainer();
        using VfioGroup group = _rig.Host.OpenGroup(other.Number, Rig.User);
        group.SetContainer(container);
        container.SetIommu(Specs.Vfio.VfioIommuType.Type1V2);
        group.SetHypervisor(machine);
        VfioDeviceFile file = group.OpenDevice("fake1");
        group.SetHypervisor(new FakeMachine());
        group.SetHypervisor(null);
        machine.Release();
        Assert.Same(machine, device.Hypervisor);
        Assert.False(machine.IsDead);
        file.Dispose();
        Assert.Null(device.Hypervisor);
        Assert.True(machine.IsDead);
    }
}
