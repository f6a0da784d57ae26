using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Hypervisor;

public sealed class LeaseTests : IDisposable
{
    private readonly Rig _rig = new();
    private readonly FakeMachine _machine = new();
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;

    public LeaseTests() => (_container, _group) = _rig.Ready();

    public void Dispose()
    {
        _group.Dispose();
        _container.Dispose();
        Assert.Equal("nothing", _rig.Host.Ledger.ToString());
        _rig.Dispose();
    }

    [Fact]
    public void Open_MachineOnTheGroup_IsTheDevicesFromBeforeOpenUntilAfterClose()
    {
        var seen = new List<(IHypervisor? Machine, int References)>();
        _rig.Device.OnOpen = _rig.Device.OnClose = () => seen.Add((_rig.Device.Hypervisor, _machine.References));
        _group.SetHypervisor(_machine);
        VfioDeviceFile first = _group.OpenDevice("fake0");
        using (_group.OpenDevice("fake0"))
        {
            Assert.Equal(2, _machine.References);
        }

        Assert.Same(_machine, _rig.Device.Hypervisor);
        first.Dispose();
        Assert.Null(_rig.Device.Hypervisor);
        Assert.Equal(1, _machine.References);
        Assert.Equal([(_machine, 2), (_machine, 2)], seen);
    }

    [Fact]
    public void Open_OwnersHandleGoesMeanwhile_MachineLivesUntilLastClose()
    {
        _group.SetHypervisor(_machine);
        VfioDeviceFile file = _group.OpenDevice("fake0");
        _group.SetHypervisor(null);
        _machine.Release();
        Assert.Same(_machine, _rig.Device.Hypervisor);
        Assert.False(_machine.IsDead);
        file.Dispose();
        Assert.True(_machine.IsDead);
    }

    [Fact]
    public void SetHypervisor_DeviceOpen_DoesNotChangeTheDevice()
    {
        using VfioDeviceFile file = _group.OpenDevice("fake0");
        _group.SetHypervisor(_machine);
        using VfioDeviceFile second = _group.OpenDevice("fake0");
        Assert.Null(_rig.Device.Hypervisor);
        Assert.Equal(1, _machine.References);
    }

    [Fact]
    public void SetHypervisor_OnDeviceFileOfAGroup_IsNeverLookedAt()
    {
        VfioDeviceFile file = _group.OpenDevice("fake0");
        file.SetHypervisor(_machine);
        using (VfioDeviceFile second = _group.OpenDevice("fake0"))
        {
            Assert.Null(_rig.Device.Hypervisor);
        }

        file.Dispose();
        Assert.Equal(1, _machine.References);
    }

    [Fact]
    public void Open_MachineDying_OpensWithoutIt()
    {
        _group.SetHypervisor(_machine);
        _machine.Release();
        using VfioDeviceFile file = _group.OpenDevice("fake0");
        Assert.Null(_rig.Device.Hypervisor);
        Assert.Equal(0, _machine.References);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Open_DriverFails_ReferenceIsGivenBack(bool byDriver)
    {
        _group.SetHypervisor(_machine);
        if (byDriver)
        {
            _rig.Device.OpenError = Errno.ENOSPC;
            Assert.Equal(Errno.ENOSPC, ErrnoOf(() => _group.OpenDevice("fake0")));
        }
        else
        {
            _group.UnsetContainer();
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => _group.OpenDevice("fake0")));
        }

        Assert.Null(_rig.Device.Hypervisor);
        Assert.Equal(1, _machine.References);
    }

    [Fact]
    public void LastRelease_ByCloseAndByFailedOpen_HoldsNoLockOfVfio()
    {
        int deaths = 0;
        _machine.OnDeath = () =>
        {
            // Whoever ends the machine may need any of these, on another thread.
            var other = new Thread(() =>
            {
                _ = _group.GetStatus();
                _ = _rig.Device.IsOpen;
                _ = _container.HasBackend;
                _group.SetHypervisor(null);
            })
            { IsBackground = true };
            other.Start();
            Assert.True(other.Join(TimeSpan.FromMinutes(1)), "a lock is held");
            Assert.False(_rig.Device.IsOpen);
            deaths++;
        };
        _group.SetHypervisor(_machine);
        VfioDeviceFile file = _group.OpenDevice("fake0");
        _machine.Release();
        file.Dispose();
        Assert.Equal(1, deaths);

        var second = new FakeMachine { OnDeath = _machine.OnDeath };
        _group.SetHypervisor(second);
        _rig.Device.OnOpen = () =>
        {
            second.Release();
            throw new VfioException(Errno.EIO, "opening the fake", "the test wants it");
        };
        Assert.Equal(Errno.EIO, ErrnoOf(() => _group.OpenDevice("fake0")));
        Assert.Equal(2, deaths);
    }

    [Fact]
    public void Hold_UserClosedTheGroup_StaysOpenUntilLetGo()
    {
        IDisposable hold = _group.Hold();
        _group.Dispose();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _group.GetStatus()));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.OpenGroup()));
        Assert.True(_container.HasBackend);
        hold.Dispose();
        hold.Dispose();
        Assert.False(_container.HasBackend);
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _group.Hold()));
        _rig.OpenGroup().Dispose();
    }

    [Fact]
    public void Bind_MachineOnTheFile_IsTheDevices()
    {
        _group.Dispose();
        using IommufdContext context = _rig.Host.OpenIommufd(Rig.User);
        VfioCdevFile file = _rig.Host.OpenCdev("fake0", Rig.User);
        using VfioCdevFile other = _rig.Host.OpenCdev("fake0", Rig.User);
        other.SetHypervisor(new FakeMachine());
        file.SetHypervisor(_machine);
        file.Bind(context);
        Assert.Same(_machine, _rig.Device.Hypervisor);
        file.SetHypervisor(null);
        Assert.Equal(2, _machine.References);
        file.Dispose();
        Assert.Equal(1, _machine.References);
    }

    [Fact]
    public void Coherency_OfGroupAndDevice_FollowsTheUnits()
    {
        (IommuGroup other, _) = _rig.Second(new IommuUnitOptions { EnforcesCoherency = false });
        using VfioGroup file = _rig.Host.OpenGroup(other.Number, Rig.User);
        Assert.True(_group.IsEnforcedCoherent);
        Assert.False(file.IsEnforcedCoherent);
        IommuGroup emulated = _rig.Host.RegisterEmulated(new FakeDevice("emulated0"));
        using VfioGroup third = _rig.Host.OpenGroup(emulated.Number, Rig.User);
        Assert.False(third.IsEnforcedCoherent);
    }
}
