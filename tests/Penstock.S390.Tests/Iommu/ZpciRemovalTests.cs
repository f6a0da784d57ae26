using Penstock.Interop;
using Penstock.Pci.Tests;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

/// <summary>A function leaves its IOMMU: not while anybody has it, and then without a trace.</summary>
public sealed class ZpciRemovalTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;

    [Fact]
    public void RemoveFunction_NobodyHasIt_GroupAndFunctionAreGone()
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "zpci");
        IommuGroup group = iommu.AddFunction(new FakeHostFunction());
        iommu.RemoveFunction(group);
        Assert.Empty(host.Groups);
        Assert.Null(iommu.FunctionOf(group));
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => iommu.RemoveFunction(group)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => iommu.OpenDmaSpace(group).Dispose()));
        Assert.NotEqual(group.Number, iommu.AddFunction(new FakeHostFunction()).Number);
    }

    [Fact]
    public void RemoveFunction_OfAnotherUnit_ENOENTAndItStays()
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "zpci");
        var other = new ZpciIommu(host, "other");
        var function = new FakeHostFunction();
        IommuGroup group = other.AddFunction(function);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => iommu.RemoveFunction(group)));
        Assert.Same(function, other.FunctionOf(group));
        Assert.Same(group, Assert.Single(host.Groups));
    }

    [Fact]
    public void RemoveFunction_DeviceIsRegistered_EBUSYUntilItIsNot()
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "zpci");
        IommuGroup group = iommu.AddFunction(new FakeHostFunction());
        using var device = new ZpciVfioPciDevice("0000:01:00.0", TestDevice.FullFunction(), group, new ZpciFunction(0x17, 3));
        host.Register(device, group);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => iommu.RemoveFunction(group)));
        Assert.NotNull(iommu.FunctionOf(group));
        host.Unregister(device);
        iommu.RemoveFunction(group);
        Assert.Empty(host.Groups);
    }

    [Fact]
    public void RemoveFunction_HostsDriverHasIt_EBUSYAndItsMapsStay()
    {
        using var host = new VfioHost();
        var iommu = new ZpciIommu(host, "zpci");
        var function = new FakeHostFunction();
        IommuGroup group = iommu.AddFunction(function);
        ProcessMemory memory = ProcessMemory.Allocate(Page, host.Ledger);
        using (ZpciDmaSpace space = iommu.OpenDmaSpace(group))
        {
            ulong iova = space.Map(memory, 0, Page, DmaAccess.ReadWrite);
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => iommu.RemoveFunction(group)));
            Assert.Equal(Errno.None, space.Domain.Write(iova, [7]));
            Assert.Equal(7, memory.Span(0, 1)[0]);
            Assert.Equal(space.Domain.Iota, function.Iota);
            space.Unmap(iova, Page);
        }

        iommu.RemoveFunction(group);
        Assert.Null(function.Iota);
        memory.Release();
        Assert.Equal("nothing", host.Ledger.ToString());
    }

    [Fact]
    public void RemoveFunction_GroupIsAttached_EBUSYUntilDetachedAndTheDomainKeepsItsMaps()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 2);

        // Otherwise nobody would tell firmware at the detach that the tables are gone.
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => rig.Iommu.RemoveFunction(rig.Group)));
        Assert.Equal(rig.Domain.Iota, rig.Function.Iota);
        Assert.Same(rig.Function, Assert.Single(rig.Domain.Functions));
        rig.Group.Detach();
        rig.Iommu.RemoveFunction(rig.Group);
        Assert.Null(rig.Function.Iota);
        Assert.Equal(1, rig.Function.Deregistrations);

        var next = new FakeHostFunction();
        IommuGroup group = rig.Iommu.AddFunction(next);
        group.Attach(rig.Domain);
        Assert.Equal(rig.Domain.Iota, next.Iota);
        Assert.Equal(Errno.None, rig.Domain.Write(Start + Page, [9]));
        Assert.Equal(2 * Page, rig.Unmap(Start, 2));
        Assert.Empty(rig.Function.Refreshes);
        Assert.Equal((Start, 2 * Page), Assert.Single(next.Refreshes));
        group.Detach();
    }
}
