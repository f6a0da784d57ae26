using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Mediated;

/// <summary>Creation and removal of mediated devices, with the errors and races of the kernel's interface.</summary>
public sealed class MdevTests : IDisposable
{
    private const string First = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
    private const string Second = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1002";

    private readonly VfioHost _host = new();
    private readonly FakeMdevDriver _driver = new(2);
    private readonly MdevType _type = new("one", "The first kind");
    private readonly MdevParent _parent;

    public MdevTests() => _parent = _host.RegisterMdevParent("0000:00:02.0", _driver, _type);

    public void Dispose()
    {
        foreach (MdevParent parent in _host.MdevParents)
        {
            parent.Unregister();
        }

        Assert.Equal(_driver.Probes, _driver.Removes);
        Assert.Empty(_host.Devices);
        Assert.Empty(_host.Groups);
        Assert.Equal("nothing", _host.Ledger.ToString());
        _host.Dispose();
    }

    [Fact]
    [Trait("Row", "S1-12")]
    public void Create_ThenRemove_IsADeviceInItsOwnGroupAndTakesAnInstance()
    {
        Assert.Equal(("fake-one", "The first kind", "about The first kind", "vfio-pci"), (_type.Name, _type.PrettyName, _type.Description, _type.DeviceApi));
        Assert.Equal(2, _type.AvailableInstances);
        MdevDevice mdev = _type.Create(First.ToUpperInvariant() + "\n");
        Assert.Equal(First, mdev.Name);
        Assert.Equal(1, _type.AvailableInstances);
        Assert.Equal([mdev], _type.Devices);
        VfioDevice device = Assert.IsType<EmulatedDevice>(mdev.Device);
        Assert.True(device.Group!.IsEmulated);
        using (Open(mdev))
        {
            Assert.True(device.IsOpen);
        }

        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _type.Create(First)));
        mdev.Remove();
        Assert.Equal(2, _type.AvailableInstances);
        Assert.Empty(_parent.Devices);
        Assert.Null(mdev.Device);
        Assert.Equal(Errno.ENODEV, ErrnoOf(mdev.Remove));

        // What has gone is forgotten: the UUID can be used again, and the old object does not mean the new one.
        _type.Create(First);
        Assert.Equal(Errno.ENODEV, ErrnoOf(mdev.Remove));
    }

    [Fact]
    public void Register_TypeOfAParentOfAnotherHost_EINVALUntilThatOneIsUnregistered()
    {
        using var other = new VfioHost();
        var own = new MdevType("two");
        var driver = new FakeMdevDriver(2);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => other.RegisterMdevParent("b", driver, own, _type)));
        Assert.Same(_parent, _type.Parent);
        Assert.Throws<InvalidOperationException>(() => own.Parent);
        Assert.Empty(other.MdevParents);
        _parent.Unregister();
        MdevParent second = other.RegisterMdevParent("b", driver, own, _type);
        Assert.Same(second, _type.Parent);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterMdevParent("c", _driver, _type)));
        second.Unregister();
    }

    [Theory]
    [Trait("Row", "O1")]
    [InlineData("83b8f4f2-509f-382f-3c1e-e6bfe0fa100")]
    [InlineData("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001x")]
    [InlineData("83b8f4f2-509f-382f-3c1e-e6bfe0fa1001\n\n")]
    [InlineData("83b8f4f2-509f-382f-3c1e-e6bfe0fa10g1")]
    [InlineData("83b8f4f2+509f-382f-3c1e-e6bfe0fa1001")]
    [InlineData("0x83b8f4-509f-382f-3c1e-e6bfe0fa1001")]
    [InlineData(" 3b8f4f2-509f-382f-3c1e-e6bfe0fa1001")]
    [InlineData("83b8f4f2509f382f3c1ee6bfe0fa10011234")]
    [InlineData("")]
    public void Create_NoUuid_EINVAL(string text)
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _type.Create(text)));
        Assert.Equal(2, _type.AvailableInstances);
    }

    [Fact]
    [Trait("Row", "O1")]
    public void Create_UuidOnAnotherParent_EEXISTBeforeEverythingElse()
    {
        var other = new MdevType("two");
        _host.RegisterMdevParent("0000:00:03.0", new FakeMdevDriver(0), other);
        _type.Create(First);
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => other.Create(First)));
        Assert.Equal(Errno.EUSERS, ErrnoOf(() => other.Create(Second)));
    }

    [Fact]
    [Trait("Row", "O1")]
    public void Create_NoInstanceLeft_EUSERS()
    {
        _type.Create(First);
        _type.Create(Second);
        Assert.Equal(0, _type.AvailableInstances);
        Assert.Equal(Errno.EUSERS, ErrnoOf(() => _type.Create(Guid.NewGuid())));
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _type.Create(First)));
    }

    [Fact]
    public void Create_DriverCountsByItself_DriverDecides()
    {
        var driver = new FakeMdevDriver(0) { OwnCount = 7 };
        var type = new MdevType("own");
        _host.RegisterMdevParent("0000:00:03.0", driver, type);
        type.Create(First);
        Assert.Equal(7, type.AvailableInstances);
        driver.ProbeError = Errno.ENOSPC;
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => type.Create(Second)));
    }

    [Fact]
    [Trait("Row", "O1")]
    public async Task Create_ParentLeaving_ENODEV()
    {
        // The parent waits for a user to close the device.
        VfioDeviceFile file = Open(_type.Create(First));
        var asked = new TaskCompletionSource();
        ((EmulatedDevice)_host.MdevDevices[0].Device!).OnRequest = _ => asked.TrySetResult();
        Task leaving = Task.Run(_parent.Unregister);
        await asked.Task;

        Assert.Equal(Errno.ENODEV, ErrnoOf(() => _type.Create(Second)));
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _type.Create(First)));
        Assert.Equal(Errno.ENODEV, ErrnoOf(_parent.Unregister));
        Assert.Equal(1, _type.AvailableInstances);
        file.Dispose();
        await leaving;
        Assert.Equal(2, _type.AvailableInstances);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => _type.Create(First)));
        Assert.Equal(2, _type.AvailableInstances);
    }

    [Fact]
    [Trait("Row", "O2")]
    public async Task Remove_ChildOpen_WaitsForCloseAndASecondOneGetsEAGAIN()
    {
        MdevDevice mdev = _type.Create(First);
        var device = (EmulatedDevice)mdev.Device!;
        int group = device.Group!.Number;
        VfioDeviceFile file = Open(mdev);
        var asked = new TaskCompletionSource();
        device.OnRequest = _ => asked.TrySetResult();
        Task removal = Task.Run(mdev.Remove);
        await asked.Task;

        Assert.Equal(Errno.EAGAIN, ErrnoOf(mdev.Remove));
        Assert.Equal(Errno.EAGAIN, ErrnoOf(() => mdev.Remove("1")));
        Assert.False(removal.IsCompleted);
        Assert.False(mdev.IsActive);
        Assert.Equal(1, _type.AvailableInstances);
        Assert.Equal(0, _driver.Removes);

        file.Dispose();
        await removal;
        Assert.Equal(1, device.Closes);
        Assert.Equal(1, _driver.Removes);
        Assert.Equal(2, _type.AvailableInstances);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _host.OpenGroup(group, Rig.User)));
    }

    [Theory]
    [InlineData("1", true)]
    [InlineData("1\n", true)]
    [InlineData("0x10", true)]
    [InlineData("+010", true)]
    [InlineData("0", false)]
    [InlineData("0x0\n", false)]
    public void Remove_Number_RemovesUnlessItIs0(string number, bool removed)
    {
        MdevDevice mdev = _type.Create(First);
        mdev.Remove(number);
        Assert.Equal(removed, mdev.Device is null);
    }

    [Theory]
    [InlineData("")]
    [InlineData("yes")]
    [InlineData("-1")]
    [InlineData("1 ")]
    [InlineData("08")]
    [InlineData("18446744073709551616")]
    public void Remove_NoNumber_EINVAL(string number)
    {
        MdevDevice mdev = _type.Create(First);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => mdev.Remove(number)));
        Assert.True(mdev.IsActive);
    }

    [Fact]
    public void Remove_WhileCreating_EAGAIN()
    {
        Errno errno = Errno.None;
        _driver.OnProbe = () => errno = ErrnoOf(_host.MdevDevices[0].Remove);
        _type.Create(First);
        Assert.Equal(Errno.EAGAIN, errno);
    }

    [Fact]
    public void Remove_ObjectStillHeld_UuidAndInstanceComeBackWithTheLastHold()
    {
        MdevDevice mdev = _type.Create(First);
        mdev.Hold();
        mdev.Remove();
        Assert.Null(mdev.Device);
        Assert.Empty(_host.Devices);
        Assert.Equal(1, _type.AvailableInstances);
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _type.Create(First)));
        Assert.Equal(Errno.EAGAIN, ErrnoOf(mdev.Remove));
        mdev.Release();
        Assert.Equal(2, _type.AvailableInstances);
        Assert.Equal(Errno.ENODEV, ErrnoOf(mdev.Hold));
        _type.Create(First);
    }

    [Fact]
    [Trait("Row", "O3")]
    public void Create_ProbeFails_ItsErrorAndTheInstanceIsBack()
    {
        _driver.ProbeError = Errno.ENOSPC;
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => _type.Create(First)));
        Assert.Equal(2, _type.AvailableInstances);
        Assert.Empty(_parent.Devices);
        Assert.Empty(_host.Devices);

        _driver.ProbeError = Errno.None;
        _driver.OnProbe = () => throw new InvalidOperationException("a driver's bug");
        Assert.Throws<InvalidOperationException>(() => _type.Create(First));
        Assert.Equal(2, _type.AvailableInstances);
        _driver.OnProbe = null;
        _type.Create(First);
    }

    [Fact]
    [Trait("Row", "O4")]
    [Trait("Row", "S1-12")]
    public void Unregister_WithChildren_AllAreRemovedAndTheHostSaysSo()
    {
        var events = new List<HostUevent>();
        int left = -1;
        _host.Uevent += e =>
        {
            events.Add(e);
            left = _host.MdevDevices.Count;
        };
        var type = new MdevType("again");
        var driver = new FakeMdevDriver(3);
        MdevParent parent = _host.RegisterMdevParent("0000:00:04.0", driver, type);
        Assert.Equal([new HostUevent("change", "0000:00:04.0", "MDEV_STATE", "registered")], events);
        MdevDevice[] children = [type.Create(Guid.NewGuid()), type.Create(Guid.NewGuid()), type.Create(Guid.NewGuid())];
        VfioDeviceFile open = Open(children[1]);
        ((EmulatedDevice)children[1].Device!).OnRequest = _ => open.Dispose();

        parent.Unregister();
        Assert.Equal(new HostUevent("change", "0000:00:04.0", "MDEV_STATE", "unregistered"), events[^1]);
        Assert.Equal((2, 0), (events.Count, left));
        Assert.All(children, c => Assert.Equal(Errno.ENODEV, ErrnoOf(c.Remove)));
        Assert.Equal((3, 3), (driver.Probes, driver.Removes));
        Assert.Equal(3, type.AvailableInstances);
        Assert.Equal([_parent], _host.MdevParents);
    }

    [Fact]
    public async Task Remove_ParentLeaving_ENODEVAndTheParentRemovesIt()
    {
        MdevDevice first = _type.Create(First);
        MdevDevice second = _type.Create(Second);
        VfioDeviceFile file = Open(first);
        var asked = new TaskCompletionSource();
        ((EmulatedDevice)first.Device!).OnRequest = _ => asked.TrySetResult();
        Task leaving = Task.Run(_parent.Unregister);
        await asked.Task;
        Assert.Equal(Errno.EAGAIN, ErrnoOf(first.Remove));
        Assert.Equal(Errno.ENODEV, ErrnoOf(second.Remove));
        file.Dispose();
        await leaving;
        Assert.Empty(_host.MdevDevices);
    }

    [Fact]
    public void RegisterMdevParent_BadDriverOrTypes_Refused()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterMdevParent("a", new FakeMdevDriver(1) { Api = "" }, new MdevType("x"))));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterMdevParent("a", new FakeMdevDriver(1))));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterMdevParent("a", new FakeMdevDriver(1), new MdevType("x"), new MdevType("x"))));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _host.RegisterMdevParent("a", new FakeMdevDriver(1), _type)));
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _host.RegisterMdevParent(_parent.Name, new FakeMdevDriver(1), new MdevType("x"))));
        _parent.Unregister();
        _host.RegisterMdevParent("a", _driver, _type);
    }

    [Fact]
    public void Uevent_HandlerThrows_OthersAreToldAndTheCallGoesOn()
    {
        int told = 0;
        _host.Uevent += _ => throw new InvalidOperationException();
        _host.Uevent += _ => told++;
        _parent.Unregister();
        Assert.Equal(1, told);
    }

    private VfioDeviceFile Open(MdevDevice mdev)
    {
        VfioContainer container = _host.OpenContainer(Rig.User);
        VfioGroup group = _host.OpenGroup(mdev.Device!.Group!.Number, Rig.User);
        group.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        VfioDeviceFile file = group.OpenDevice(mdev.Name);
        group.Dispose();
        container.Dispose();
        return file;
    }
}
