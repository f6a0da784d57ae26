using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class GroupTests
{
    [Fact]
    [Trait("Row", "G1")]
    public void OpenGroup_AlreadyOpen_EBUSY()
    {
        using var rig = new Rig();
        VfioGroup group = rig.OpenGroup();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.OpenGroup()));
        group.Dispose();
        rig.OpenGroup().Dispose();
    }

    [Fact]
    public void OpenGroup_UnknownOrEmpty_ENOENTOrENODEV()
    {
        using var rig = new Rig();
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => rig.Host.OpenGroup(99, Rig.User)));
        IommuGroup empty = rig.Unit.CreateGroup();
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => rig.Host.OpenGroup(empty.Number, Rig.User)));
    }

    [Fact]
    [Trait("Row", "G3")]
    [Trait("Row", "G4")]
    public void GetStatus_BeforeAndAfterSetContainer_ViableThenBoth()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        Assert.Equal(VfioGroupFlags.Viable, group.GetStatus());
        group.SetContainer(container);
        Assert.Equal(VfioGroupFlags.Viable | VfioGroupFlags.ContainerSet, group.GetStatus());
    }

    [Fact]
    public void SetContainer_Twice_EINVAL()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        group.SetContainer(container);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => group.SetContainer(container)));
    }

    [Fact]
    [Trait("Row", "G7")]
    public void SetContainer_SiblingHasHostDriver_EPERMAndNotViable()
    {
        using var rig = new Rig();
        rig.Group.BindForeignDriver();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        Assert.Equal(Errno.EPERM, ErrnoOf(() => group.SetContainer(container)));
        Assert.Equal(VfioGroupFlags.None, group.GetStatus());
        rig.Group.UnbindForeignDriver();
        group.SetContainer(container);
    }

    [Fact]
    [Trait("Row", "G8")]
    public void BindForeignDriver_GroupOwnedByUser_EBUSY()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        group.SetContainer(container);
        Assert.Equal(Errno.EBUSY, ErrnoOf(rig.Group.BindForeignDriver));
        group.UnsetContainer();
        rig.Group.BindForeignDriver();
    }

    [Fact]
    [Trait("Row", "G9")]
    public void Dma_OwnedButNoDomain_IsBlocked()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        group.SetContainer(container);
        Assert.True(rig.Group.IsClaimed);
        Assert.Equal(Errno.EFAULT, rig.Port.Read(0, new byte[1]));
        using DmaScope scope = rig.Port.Enter();
        Assert.False(scope.TryBorrow(0, 1, DmaAccess.Read, out _));
    }

    [Fact]
    [Trait("Row", "G10")]
    public void UnsetContainerAndOpenDevice_NoContainer_EINVAL()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        Assert.Equal(Errno.EINVAL, ErrnoOf(group.UnsetContainer));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => group.OpenDevice("fake0")));
    }

    [Fact]
    [Trait("Row", "G11")]
    public void UnsetContainer_DeviceOpen_EBUSY()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile device = group.OpenDevice("fake0");
        Assert.Equal(Errno.EBUSY, ErrnoOf(group.UnsetContainer));
        device.Dispose();
        group.UnsetContainer();
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "G12")]
    public void OpenDevice_ContainerWithoutBackend_EINVAL()
    {
        using var rig = new Rig();
        using VfioGroup group = rig.OpenGroup();
        using VfioContainer container = rig.OpenContainer();
        group.SetContainer(container);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => group.OpenDevice("fake0")));
        Assert.Equal(0, rig.Device.Opens);
    }

    [Theory]
    [InlineData("fake9")]
    [InlineData("fake0 and more")]
    [InlineData("")]
    [Trait("Row", "G13")]
    public void OpenDevice_UnknownName_ENODEV(string name)
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using (container)
        using (group)
        {
            Assert.Equal(Errno.ENODEV, ErrnoOf(() => group.OpenDevice(name)));
        }
    }

    [Fact]
    [Trait("Row", "G14")]
    public void OpenDevice_Twice_DriverSeesFirstOpenAndLastClose()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile first = group.OpenDevice("fake0");
        VfioDeviceFile second = group.OpenDevice("fake0");
        first.Dispose();
        Assert.Equal((1, 0), (rig.Device.Opens, rig.Device.Closes));
        Assert.Equal(Errno.None, second.Read(0, 0, new byte[4], out _));
        second.Dispose();
        second.Dispose();
        Assert.Equal((1, 1), (rig.Device.Opens, rig.Device.Closes));
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "G15")]
    [Trait("Row", "D17")]
    public async Task Unregister_DeviceOpen_RequestsUntilClosedAndRefusesNewOpens()
    {
        var time = new ManualTime();
        using var rig = new Rig(host: new VfioHostOptions { Time = time });
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioDeviceFile file = group.OpenDevice("fake0");
        using var asked = new SemaphoreSlim(0);
        rig.Device.OnRequest = _ => asked.Release();
        Task unregister = Task.Run(() => rig.Host.Unregister(rig.Device));

        asked.Wait();
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => group.OpenDevice("fake0")));
        SpinWait.SpinUntil(() => time.Timers != 0);
        time.Advance(TimeSpan.FromSeconds(10));
        asked.Wait();
        Assert.Equal([0u, 1u], rig.Device.Requests);
        Assert.False(unregister.IsCompleted);
        Assert.Equal(Errno.None, file.Read(0, 0, new byte[1], out _));

        file.Dispose();
        await unregister;
        Assert.Equal(1, rig.Device.Closes);
        Assert.Empty(rig.Host.Devices);
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "G16")]
    public void GroupCalls_LastDeviceGone_ENODEV()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        rig.Host.Unregister(rig.Device);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => group.GetStatus()));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => group.SetContainer(container)));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => group.OpenDevice("fake0")));
        Assert.False(rig.Group.IsClaimed);
        Assert.False(container.HasBackend);

        // A device that comes back makes a new group; the old file stays dead and does no harm.
        rig.Host.Register(rig.Device, rig.Group);
        using VfioGroup again = rig.OpenGroup();
        group.Dispose();
        Assert.Equal(VfioGroupFlags.Viable, again.GetStatus());
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "G19")]
    public void Register_UnitNotCoherent_EINVAL()
    {
        using var rig = new Rig();
        IommuGroup group = rig.Host.AddIommuUnit("odd", new IommuUnitOptions { CacheCoherent = false }).CreateGroup();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Host.Register(new FakeDevice("x"), group)));
    }

    [Fact]
    [Trait("Row", "D18")]
    public void OpenDevice_DriverRefuses_ErrorAndNothingKept()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        var machine = new FakeMachine();
        group.SetHypervisor(machine);
        rig.Device.OpenError = Errno.ENOSPC;
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => group.OpenDevice("fake0")));
        Assert.Equal((1, null), (machine.References, rig.Device.Hypervisor));
        Assert.False(rig.Device.IsOpen);
        group.UnsetContainer();
        group.Dispose();
        rig.OpenGroup().Dispose();
        container.Dispose();
    }

    [Fact]
    public void ClaimDma_OtherOwner_EPERM()
    {
        using var rig = new Rig();
        object first = new();
        rig.Group.ClaimDma(first);
        rig.Group.ClaimDma(first);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => rig.Group.ClaimDma(new object())));
        rig.Group.ReleaseDma(first);
        Assert.True(rig.Group.IsClaimed);
        rig.Group.ReleaseDma(first);
        Assert.False(rig.Group.IsClaimed);
    }

    [Fact]
    public void RemoveGroup_WithDevice_EBUSYThenGone()
    {
        using var rig = new Rig();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Unit.RemoveGroup(rig.Group)));
        rig.Host.Unregister(rig.Device);
        rig.Unit.RemoveGroup(rig.Group);
        Assert.Empty(rig.Host.Groups);
    }

    [Fact]
    public void RemoveGroup_Attached_EBUSYUntilDetached()
    {
        using var host = new VfioHost();
        IommuUnit unit = host.AddIommuUnit("unit");
        IommuGroup group = unit.CreateGroup();
        using TranslatingDomain domain = unit.CreateDomain();
        group.Attach(domain);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => unit.RemoveGroup(group)));
        group.AttachPasid(1, domain);
        group.Detach();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => unit.RemoveGroup(group)));
        group.DetachPasid(1);
        unit.RemoveGroup(group);
        Assert.Empty(host.Groups);
    }
}
