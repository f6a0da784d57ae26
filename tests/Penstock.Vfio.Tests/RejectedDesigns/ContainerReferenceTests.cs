using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.RejectedDesigns;

/// <summary>Why nobody outside refers to containers: a container owns nothing, its groups empower it.</summary>
public sealed class ContainerReferenceTests : IDisposable
{
    private readonly Rig _rig = new();

    public void Dispose()
    {
        Assert.Equal("nothing", _rig.Host.Ledger.ToString());
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "S4-2")]
    [Trait("Row", "S4-3")]
    [Trait("Row", "S4-12")]
    public void ContainerFileHeld_LastGroupLeaves_BackendDataAreGone()
    {
        (VfioContainer container, VfioGroup group) = _rig.Ready();
        using var reference = new ContainerReference(container);
        ProcessMemory memory = _rig.Memory(4096);
        reference.Map(memory);
        memory.Release();
        Assert.NotNull(reference.BackendData);

        group.Dispose();

        // The reference is held as before, and worth nothing: no data, no mapping, no more calls.
        Assert.Null(reference.BackendData);
        Assert.Equal(0, _rig.Host.Ledger.Outstanding(ResourceKind.NativeBlock));
        ProcessMemory again = _rig.Memory(4096);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => reference.Map(again)));
        again.Release();
    }

    [Fact]
    [Trait("Row", "S4-12")]
    public void ContainerFileHeld_UserClosesIt_HeldFileKeepsNothingForTheGroups()
    {
        // The other half of the argument: the file may go, and what the groups use stays.
        (VfioContainer container, VfioGroup group) = _rig.Ready();
        using VfioDeviceFile file = group.OpenDevice("fake0");
        var reference = new ContainerReference(container);
        reference.Dispose();
        Assert.NotNull(reference.BackendData);
        using VfioDeviceFile second = group.OpenDevice("fake0");
        file.Dispose();
        second.Dispose();
        group.Dispose();
        Assert.Null(reference.BackendData);
    }

    [Fact]
    [Trait("Row", "S4-5")]
    public void Groups_LastOneLeaves_BackendIsReleasedAndTheContainerStartsAnew()
    {
        var driver = new FakeBackendDriver("fake", VfioIommuType.SpaprTce);
        _rig.Host.AddBackendDriver(driver);
        (IommuGroup other, _) = _rig.Second();
        using VfioContainer container = _rig.OpenContainer();
        using VfioGroup first = _rig.OpenGroup();
        using VfioGroup second = _rig.Host.OpenGroup(other.Number, Rig.User);
        first.SetContainer(container);
        second.SetContainer(container);
        container.SetIommu(VfioIommuType.SpaprTce);
        first.UnsetContainer();
        Assert.True(container.HasBackend);
        Assert.Equal(["open", "attach", "attach", "detach"], driver.Events);
        second.UnsetContainer();
        Assert.False(container.HasBackend);
        Assert.Equal(["open", "attach", "attach", "detach", "detach", "release"], driver.Events);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.SetIommu(VfioIommuType.SpaprTce)));

        // As new: another type, and no trace of what was.
        first.SetContainer(container);
        Assert.True(container.CheckExtension(VfioIommuType.Type1V2));
        container.SetIommu(VfioIommuType.Type1V2);
        Assert.Equal(6, driver.Events.Count);
    }
}
