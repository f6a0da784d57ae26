using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Groups of different units that come to a container with mappings, and leave it.</summary>
public sealed class Type1AttachTests
{
    private const ulong Page = Type1Rig.Page;
    private const ulong Large = 2 * Type1Rig.Mega;
    private const ulong BitmapAt = Type1Rig.Base + (8 * Type1Rig.Mega);

    private static readonly IommuUnitOptions LargePages = new() { PageSizes = ~(Large - 1) };

    [Theory]
    [InlineData(Page, Page, Type1Rig.Base)]
    [InlineData(Large, Large + Page, Type1Rig.Base)]
    [InlineData(Large, Large, Type1Rig.Base + Page)]
    public void Attach_MappingNotInPagesOfTheNewUnit_EINVALAndNothingHasChanged(ulong iova, ulong size, ulong vaddr)
    {
        using var rig = new Type1Rig();
        using VfioGroup second = Second(rig, LargePages);
        Assert.Equal(Errno.None, rig.Map(iova, size, vaddr: vaddr));
        ulong locked = rig.Locked;
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => second.SetContainer(rig.Container)));
        Assert.Equal(VfioGroupFlags.Viable, second.GetStatus());
        Assert.Equal(locked, rig.Locked);
        Assert.Equal(Errno.None, rig.Map(64 * Type1Rig.Mega, Page));
        Assert.Equal((Errno.None, size), rig.Unmap(iova, size));
        Assert.Equal((Errno.None, Page), rig.Unmap(64 * Type1Rig.Mega, Page));
        second.SetContainer(rig.Container);
        Assert.Equal(Errno.EINVAL, rig.Map(Page, Page));
        Assert.Equal(Errno.None, rig.Map(Large, Large));
    }

    [Fact]
    public void Attach_NoPageSizeInCommon_EINVALAndNothingHasChanged()
    {
        using var rig = new Type1Rig(new IommuUnitOptions { PageSizes = Page });
        using VfioGroup second = Second(rig, new IommuUnitOptions { PageSizes = Large });
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => second.SetContainer(rig.Container)));
        Assert.Equal(Page, rig.Container.PageSizes);
        Assert.Equal(Errno.EINVAL, rig.Map(1, 3, vaddr: Type1Rig.Base + 5));
        Assert.Equal(Errno.None, rig.Map(Page, Page));
    }

    [Fact]
    public void SetIommu_GroupsWithoutACommonPageSize_EINVAL()
    {
        using var rig = new Rig(new IommuUnitOptions { PageSizes = Page });
        (IommuGroup other, _) = rig.Second(new IommuUnitOptions { PageSizes = Large });
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup first = rig.OpenGroup();
        using VfioGroup second = rig.Host.OpenGroup(other.Number, Rig.User);
        first.SetContainer(container);
        second.SetContainer(container);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.SetIommu(VfioIommuType.Type1V2)));
        Assert.False(container.HasBackend);
        second.UnsetContainer();
        container.SetIommu(VfioIommuType.Type1V2);
    }

    [Theory]
    [InlineData(true, true, 1)]
    [InlineData(true, false, 0)]
    [InlineData(false, true, 0)]
    public void CheckExtension_DmaCoherence_OnlyWhenAllUnitsEnforceIt(bool first, bool second, int expected)
    {
        using var rig = new Type1Rig(new IommuUnitOptions { EnforcesCoherency = first });
        using VfioGroup other = Second(rig, new IommuUnitOptions { EnforcesCoherency = second });
        Assert.Equal(first ? 1 : 0, rig.Number(VfioContainerRequest.CheckExtension, (int)VfioIommuType.DmaCacheCoherent));
        other.SetContainer(rig.Container);
        Assert.Equal(expected, rig.Number(VfioContainerRequest.CheckExtension, (int)VfioIommuType.DmaCacheCoherent));
        other.UnsetContainer();
        Assert.Equal(first ? 1 : 0, rig.Number(VfioContainerRequest.CheckExtension, (int)VfioIommuType.DmaCacheCoherent));
    }

    [Fact]
    public void DetachLargePages_BitmapInSmallPagesTooLarge_GroupLeavesAndAllIsDirty()
    {
        const ulong Huge = 1ul << 44;
        using var rig = new Rig();
        (IommuGroup other, _) = rig.Second(LargePages);
        (VfioContainer container, VfioGroup group) = rig.Ready();
        VfioGroup second = rig.Host.OpenGroup(other.Number, Rig.User);
        second.SetContainer(container);
        ProcessMemory small = rig.Memory(Large);
        container.MapDma(0, Huge, DmaAccess.ReadWrite, new MessageMemory(new FakeChannel(0, 16), 0, Huge), 0);
        container.MapDma(Huge, Large, DmaAccess.ReadWrite, small, 0);
        container.StartDirtyTracking();
        second.Dispose();
        Assert.False(other.IsClaimed);
        rig.Host.OpenGroup(other.Number, Rig.User).Dispose();

        // The bitmap that the large one needs now is above the limit of a request; others are reported, and everything can be unmapped.
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.GetDirtyPages(0, Huge, Page, new ulong[1])));
        ulong[] words = new ulong[Large / Page / 64];
        container.GetDirtyPages(Huge, Large, Page, words);
        Assert.All(words, static word => Assert.Equal(ulong.MaxValue, word));
        Assert.Equal(Huge + Large, container.UnmapDma(0, 0, all: true));
        container.MapDma(0, Page, DmaAccess.ReadWrite, small, 0);
        container.GetDirtyPages(0, Page, Page, words);
        group.Dispose();
        container.Dispose();
        small.Release();
        Assert.Equal("nothing", rig.Host.Ledger.ToString());
    }

    [Fact]
    public void DetachEmulated_WhatItWroteThroughItsPort_IsStillDirty()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        IommuGroup emulated = rig.Host.RegisterEmulated(new FakeDevice("mediated"));
        using VfioGroup group = rig.Host.OpenGroup(emulated.Number, rig.Caller);
        group.SetContainer(rig.Container);

        // The real group is known by what it pins from now on.
        Assert.Equal(Errno.None, rig.Device.Pin(0, 1));
        rig.Device.UnpinPages(0, 1);
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.Start));
        using var strand = new Strand("test");
        var port = new DmaPort(emulated, strand) { BusMasterEnabled = true };
        Assert.Equal(Errno.None, port.Write(5 * Page, [1]));
        group.UnsetContainer();
        Assert.Equal(1ul << 5, GetWord(rig));
        Assert.Equal(0ul, GetWord(rig));
    }

    private static ulong GetWord(Type1Rig rig)
    {
        rig.User.Span(BitmapAt, 8).Clear();
        var bitmap = new VfioBitmap { PageSize = Page, Size = 8, Data = BitmapAt };
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 0, 64 * Page, bitmap));
        return BitConverter.ToUInt64(rig.User.Span(BitmapAt, 8));
    }

    private static VfioGroup Second(Type1Rig rig, IommuUnitOptions options)
    {
        IommuGroup group = rig.Host.AddIommuUnit("iommu1", options).CreateGroup();
        rig.Host.Register(new FakeDevice("fake1"), group);
        return rig.Host.OpenGroup(group.Number, rig.Caller);
    }
}
