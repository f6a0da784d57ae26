using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class ContainerTests
{
    private const ulong Page = 4096;

    public static TheoryData<string> ClosingOrders => new("cgd", "cdg", "gcd", "gdc", "dcg", "dgc");

    [Fact]
    [Trait("Row", "C1")]
    public void ApiVersion_IsZero() => Assert.Equal(0, VfioContainer.ApiVersion);

    [Fact]
    [Trait("Row", "C2")]
    public void CheckExtension_EmptyContainer_AnswersForTheDrivers()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        Assert.True(container.CheckExtension(VfioIommuType.Type1));
        Assert.True(container.CheckExtension(VfioIommuType.Type1V2));
        Assert.True(container.CheckExtension(VfioIommuType.UnmapAll));
        Assert.False(container.CheckExtension(VfioIommuType.UpdateVaddr));
        Assert.False(container.CheckExtension(VfioIommuType.DmaCacheCoherent));
        Assert.False(container.CheckExtension((VfioIommuType)6));
        Assert.False(container.CheckExtension((VfioIommuType)99));
    }

    [Fact]
    public void CheckExtension_WithBackend_AsksOnlyTheBackend()
    {
        using var rig = new Rig();
        rig.Host.AddBackendDriver(new FakeBackendDriver("tce", VfioIommuType.SpaprTceV2));
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using (container)
        using (group)
        {
            Assert.True(container.CheckExtension(VfioIommuType.DmaCacheCoherent));
            Assert.False(container.CheckExtension(VfioIommuType.SpaprTceV2));
        }
    }

    [Fact]
    [Trait("Row", "C3")]
    public void SetIommu_NoGroup_EINVAL()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.SetIommu(VfioIommuType.Type1V2)));
    }

    [Fact]
    [Trait("Row", "C4")]
    public void SetIommu_Twice_EINVAL()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using (container)
        using (group)
        {
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.SetIommu(VfioIommuType.Type1V2)));
        }
    }

    [Theory]
    [InlineData(6)]
    [InlineData(77)]
    [Trait("Row", "C5")]
    public void SetIommu_TypeThatNobodyOffers_ENODEV(int type)
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup group = rig.OpenGroup();
        group.SetContainer(container);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => container.SetIommu((VfioIommuType)type)));
        Assert.False(container.HasBackend);
    }

    [Fact]
    [Trait("Row", "C6")]
    public void MapDma_GroupButNoBackend_EINVAL()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup group = rig.OpenGroup();
        group.SetContainer(container);
        ProcessMemory memory = rig.Memory(Page);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.MapDma(0, Page, DmaAccess.Read, memory, 0)));
        memory.Release();
    }

    [Fact]
    [Trait("Row", "C7")]
    public void MapDma_BackendWithoutIt_ENOTTY()
    {
        using var rig = new Rig();
        rig.Host.AddBackendDriver(new FakeBackendDriver("tce", VfioIommuType.SpaprTceV2));
        (VfioContainer container, VfioGroup group) = rig.Ready(VfioIommuType.SpaprTceV2);
        using (container)
        using (group)
        {
            ProcessMemory memory = rig.Memory(Page);
            Assert.Equal(Errno.ENOTTY, ErrnoOf(() => container.MapDma(0, Page, DmaAccess.Read, memory, 0)));
            memory.Release();
        }
    }

    [Fact]
    [Trait("Row", "C8")]
    public void SetIommu_FirstDriverCannotAttach_SecondIsUsedAndFirstReleased()
    {
        using var rig = new Rig();
        var first = new FakeBackendDriver("first", VfioIommuType.SpaprTceV2, Errno.ENOMEM);
        var second = new FakeBackendDriver("second", VfioIommuType.SpaprTceV2);
        rig.Host.AddBackendDriver(first);
        rig.Host.AddBackendDriver(second);
        (VfioContainer container, VfioGroup group) = rig.Ready(VfioIommuType.SpaprTceV2);
        group.Dispose();
        container.Dispose();
        Assert.Equal(["open", "release"], first.Events);
        Assert.Equal(["open", "attach", "detach", "release"], second.Events);
    }

    [Fact]
    public void Detach_BackendFails_GroupAndBackendAreGivenBackAllTheSame()
    {
        using var rig = new Rig();
        var driver = new FakeBackendDriver("tce", VfioIommuType.SpaprTceV2) { DetachError = Errno.ENOMEM };
        rig.Host.AddBackendDriver(driver);
        (VfioContainer container, VfioGroup group) = rig.Ready(VfioIommuType.SpaprTceV2);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(group.UnsetContainer));
        Assert.False(rig.Group.IsClaimed);
        Assert.False(container.HasBackend);
        Assert.Equal(["open", "attach", "detach", "release"], driver.Events);
        group.SetContainer(container);
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    public void Detach_InsideAScope_EDEADLKAndNothingHasChanged()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        using (rig.Port.Enter())
        {
            Assert.Equal(Errno.EDEADLK, ErrnoOf(group.UnsetContainer));
        }

        Assert.True(rig.Group.IsClaimed);
        Assert.True(container.HasBackend);
        group.UnsetContainer();
        Assert.False(rig.Group.IsClaimed);
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "C9")]
    public void SetIommu_SecondGroupCannotAttach_ItsErrorAndFirstDetached()
    {
        using var rig = new Rig(new IommuUnitOptions { Aperture = new IovaRange(0, 0xffff_ffff) });
        (IommuGroup other, _) = rig.Second(new IommuUnitOptions { Aperture = new IovaRange(1ul << 40, (1ul << 41) - 1) });
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup first = rig.OpenGroup();
        using VfioGroup second = rig.Host.OpenGroup(other.Number, Rig.User);
        first.SetContainer(container);
        second.SetContainer(container);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.SetIommu(VfioIommuType.Type1V2)));
        Assert.False(container.HasBackend);
        Assert.Null(rig.Group.Domain);
        second.UnsetContainer();
        container.SetIommu(VfioIommuType.Type1V2);
        Assert.NotNull(rig.Group.Domain);
    }

    [Fact]
    [Trait("Row", "C10")]
    public void Dispose_ContainerFileFirst_DmaWorksUntilTheGroupGoes()
    {
        using var rig = new Rig();
        long before = rig.Host.Ledger.Total;
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(Page);
        memory.Span(0, 4).Fill(7);
        container.MapDma(0x10000, Page, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
        VfioDeviceFile device = group.OpenDevice("fake0");
        byte[] data = new byte[4];

        container.Dispose();
        Assert.Equal(Errno.None, rig.Port.Read(0x10000, data));
        Assert.Equal([7, 7, 7, 7], data);
        device.Dispose();
        Assert.Equal(Errno.None, rig.Port.Read(0x10000, data));
        group.Dispose();
        Assert.Equal(Errno.EFAULT, rig.Port.Read(0x10000, data));
        Assert.Equal(before, rig.Host.Ledger.Total);
    }

    [Theory]
    [MemberData(nameof(ClosingOrders))]
    [Trait("Row", "C11")]
    public void Dispose_AnyOrder_NothingLeaks(string order)
    {
        using var rig = new Rig();
        long before = rig.Host.Ledger.Total;
        (VfioContainer container, VfioGroup group) = rig.Ready();
        ProcessMemory memory = rig.Memory(16 * Page);
        container.MapDma(0, 16 * Page, DmaAccess.ReadWrite, memory, 0);
        memory.Release();
        VfioDeviceFile device = group.OpenDevice("fake0");
        foreach (char file in order)
        {
            IDisposable closing = file switch { 'c' => container, 'g' => group, _ => device };
            closing.Dispose();
        }

        Assert.Equal(before, rig.Host.Ledger.Total);
        Assert.Equal(1, rig.Device.Closes);
        Assert.False(rig.Group.IsClaimed);
        Assert.False(container.HasBackend);
        rig.OpenGroup().Dispose();
    }

    [Fact]
    [Trait("Row", "C12")]
    public void UnsetContainer_LastGroup_TakesTheMappings()
    {
        using var rig = new Rig();
        (IommuGroup other, _) = rig.Second();
        (VfioContainer container, VfioGroup first) = rig.Ready();
        using VfioGroup second = rig.Host.OpenGroup(other.Number, Rig.User);
        second.SetContainer(container);
        ProcessMemory memory = rig.Memory(Page);
        container.MapDma(0, Page, DmaAccess.Read, memory, 0);
        var port = new DmaPort(other, rig.Strand) { BusMasterEnabled = true };
        byte[] data = new byte[1];

        first.UnsetContainer();
        Assert.Equal(Errno.None, port.Read(0, data));
        Assert.Equal(Errno.EFAULT, rig.Port.Read(0, data));
        second.UnsetContainer();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.MapDma(Page, Page, DmaAccess.Read, memory, 0)));
        first.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        Assert.Equal(Errno.EFAULT, rig.Port.Read(0, data));
        Assert.Equal(0ul, container.UnmapDma(0, 0, all: true));
        memory.Release();
        first.Dispose();
        container.Dispose();
    }

    [Fact]
    public void Call_ClosedContainer_EBADF()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        container.Dispose();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => container.UnmapDma(0, Page)));
        Assert.Equal(Errno.EBADF, ErrnoOf(() => container.CheckExtension(VfioIommuType.Type1)));
        group.UnsetContainer();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => group.SetContainer(container)));
        group.Dispose();
    }
}
