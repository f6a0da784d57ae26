using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Groups of devices that have no hardware.</summary>
public sealed class EmulatedGroupTests
{
    [Fact]
    [Trait("Row", "G18")]
    public void RegisterEmulated_NoCoherentUnit_OwnGroupAndNoDemand()
    {
        using var host = new VfioHost();
        IommuUnit unit = host.AddIommuUnit("not coherent", new IommuUnitOptions { CacheCoherent = false });
        var first = new FakeDevice("first");
        var second = new FakeDevice("second");
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => host.Register(first, unit.CreateGroup())));

        IommuGroup group = host.RegisterEmulated(first);
        Assert.True(group.IsEmulated);
        Assert.Same(group, first.Group);
        Assert.NotSame(group, host.RegisterEmulated(second));
        Assert.DoesNotContain(group.Unit, host.Units);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => host.RegisterEmulated(first)));
    }

    [Fact]
    public void Unregister_EmulatedDevice_TakesItsGroupWithIt()
    {
        using var host = new VfioHost();
        var device = new FakeDevice("emulated");
        IommuGroup group = host.RegisterEmulated(device);
        Assert.Contains(group, host.Groups);

        host.Unregister(device);
        Assert.Empty(host.Groups);
        Assert.Empty(group.Unit.Groups);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => host.OpenGroup(group.Number, Rig.User)));
        Assert.NotEqual(group.Number, host.RegisterEmulated(device).Number);
    }

    [Fact]
    public void CreateGroup_OfTheEmulatedUnit_EINVAL()
    {
        using var host = new VfioHost();
        IommuUnit unit = host.RegisterEmulated(new FakeDevice("emulated")).Unit;
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => unit.CreateGroup()));
    }

    [Fact]
    public void OpenDevice_EmulatedInAContainer_ReachesMappedMemory()
    {
        using var host = new VfioHost();
        using var strand = new Strand("emulated", host.Ledger);
        var device = new FakeDevice("emulated");
        var port = new DmaPort(device, strand) { BusMasterEnabled = true };
        byte[] data = [1, 2, 3, 4];
        Assert.Equal(Errno.EFAULT, port.Write(0x1000, data));

        IommuGroup group = host.RegisterEmulated(device);
        using (VfioGroup file = host.OpenGroup(group.Number, Rig.User))
        using (VfioContainer container = host.OpenContainer(Rig.User))
        {
            ProcessMemory memory = ProcessMemory.Allocate(0x2000, host.Ledger);
            file.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
            using VfioDeviceFile opened = file.OpenDevice("emulated");
            container.MapDma(0, 0x2000, DmaAccess.ReadWrite, memory, 0);
            memory.Release();
            Assert.Equal(Errno.None, port.Write(0x1ffc, data));
            byte[] back = new byte[4];
            Assert.Equal(Errno.None, port.Read(0x1ffc, back));
            Assert.Equal(data, back);
            container.UnmapDma(0, 0x2000);
            Assert.Equal(Errno.EFAULT, port.Write(0x1000, data));
        }

        host.Unregister(device);
        Assert.Equal(Errno.EFAULT, port.Write(0x1000, data));
    }
}
