using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

public sealed class Type1Tests : IDisposable
{
    private const ulong Page = 4096;
    private const ulong Mega = 1 << 20;
    private const ulong LastPage = ulong.MaxValue - Page + 1;

    private readonly Rig _rig = new(new IommuUnitOptions { Reserved = [new IovaRange(0xfee0_0000, 0xfeef_ffff)] });
    private readonly VfioContainer _container;
    private readonly VfioGroup _group;
    private readonly ProcessMemory _memory;

    public Type1Tests()
    {
        (_container, _group) = _rig.Ready();
        _memory = _rig.Memory(8 * Mega);
    }

    public void Dispose()
    {
        _group.Dispose();
        _container.Dispose();
        _memory.Release();
        Assert.Equal("nothing", _rig.Host.Ledger.ToString());
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "T1")]
    public void Unmap_OneMapping_ReportsSizeAndTranslationIsGone()
    {
        Map(0x40000, Page);
        Assert.True(IsMapped(0x40000));
        Assert.Equal(Page, _container.UnmapDma(0x40000, Page));
        Assert.False(IsMapped(0x40000));
    }

    [Fact]
    [Trait("Row", "T2")]
    public void MapAndUnmap_LastPage_Works()
    {
        Map(LastPage, Page);
        Assert.True(IsMapped(ulong.MaxValue));
        Assert.Equal(Page, _container.UnmapDma(LastPage, Page));
        Map(LastPage, Page);
        Assert.Equal(Page, _container.UnmapDma(0, 0, all: true));
        Assert.False(IsMapped(LastPage));
    }

    [Fact]
    [Trait("Row", "T3")]
    public void MapAndUnmap_PastTheEnd_EOVERFLOW()
    {
        Assert.Equal(Errno.EOVERFLOW, MapError(LastPage, 2 * Page));
        Assert.Equal(Errno.EOVERFLOW, UnmapError(LastPage, 2 * Page));
    }

    [Theory]
    [InlineData(0ul, 0ul, 0ul)]
    [InlineData(1ul, Page, 0ul)]
    [InlineData(0ul, Page, 1ul)]
    [InlineData(0ul, Page + 1, 0ul)]
    [Trait("Row", "T4")]
    public void Map_BadSizeOrAlignment_EINVAL(ulong iova, ulong size, ulong offset) =>
        Assert.Equal(Errno.EINVAL, MapError(iova, size, offset: offset));

    [Theory]
    [InlineData(0)]
    [InlineData(8)]
    [InlineData(5)]
    [Trait("Row", "T5")]
    public void Map_BadAccess_EINVAL(int access) => Assert.Equal(Errno.EINVAL, MapError(0, Page, (DmaAccess)access));

    [Theory]
    [InlineData(0ul, 2 * Mega)]
    [InlineData(0ul, Page)]
    [InlineData(Mega, Page)]
    [InlineData((2 * Mega) - Page, 2 * Page)]
    [InlineData(0ul, 4 * Mega)]
    [Trait("Row", "T6")]
    public void Map_Overlap_EEXIST(ulong iova, ulong size)
    {
        Map(0, 2 * Mega);
        Assert.Equal(Errno.EEXIST, MapError(iova, size));
    }

    [Fact]
    [Trait("Row", "T6")]
    public void Map_AroundAnother_EEXIST()
    {
        Map(2 * Mega, Page);
        Assert.Equal(Errno.EEXIST, MapError(Mega, 2 * Mega));
    }

    [Fact]
    [Trait("Row", "T7")]
    public void Map_MoreThanTheLimit_ENOSPC()
    {
        Assert.Equal(65535, _container.AvailableMappings);
        for (ulong i = 0; i < 65535; i++)
        {
            Map(i * 2 * Page, Page);
        }

        Assert.Equal(Errno.ENOSPC, MapError(1ul << 40, Page));
        Assert.Equal(0, _container.AvailableMappings);
        Assert.Equal(Page, _container.UnmapDma(2 * Page, Page));
        Assert.Equal(1, _container.AvailableMappings);
        Assert.Equal(65534 * Page, _container.UnmapDma(0, 1ul << 40));
    }

    [Fact]
    [Trait("Row", "T8")]
    public void Map_AcrossReserved_EINVAL()
    {
        Assert.Equal([new IovaRange(0, 0xfedf_ffff), new IovaRange(0xfef0_0000, ulong.MaxValue)], _container.IovaRanges);
        Assert.Equal(Errno.EINVAL, MapError(0xfee0_0000 - Page, 2 * Page));
        Map(0xfee0_0000 - Page, Page);
        Map(0xfef0_0000, Page);
    }

    [Fact]
    [Trait("Row", "T11")]
    public unsafe void Map_WriteOfReadOnlyMemory_EFAULT()
    {
        ProcessMemory readOnly = ProcessMemory.Over(_memory.DirectAddress, Page, DmaAccess.Read);
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => _container.MapDma(0, Page, DmaAccess.ReadWrite, readOnly, 0)));
        _container.MapDma(0, Page, DmaAccess.Read, readOnly, 0);
        Assert.Equal(Errno.EPERM, _rig.Port.Write(0, [1]));
        readOnly.Release();
    }

    [Fact]
    [Trait("Row", "T12")]
    public void Map_PastTheMemory_EFAULTAndNothingMapped()
    {
        Assert.Equal(Errno.EFAULT, MapError(0, 16 * Mega));
        Assert.Equal(Errno.EFAULT, MapError(0, Page, offset: 8 * Mega));
        Assert.Equal(65535, _container.AvailableMappings);
        Assert.False(IsMapped(0));
    }

    [Theory]
    [InlineData(0ul, Mega)]
    [InlineData(Mega, Mega)]
    [InlineData(Mega, 2 * Mega)]
    [Trait("Row", "T13")]
    [Trait("Row", "T18")]
    public void Unmap_CutsAMapping_EINVALAndStillMapped(ulong iova, ulong size)
    {
        Map(0, 2 * Mega);
        Map(4 * Mega, Page);
        Assert.Equal(Errno.EINVAL, UnmapError(iova, size));
        Assert.True(IsMapped(0));
        Assert.True(IsMapped((2 * Mega) - 1));
        Assert.True(IsMapped(4 * Mega));
    }

    [Fact]
    [Trait("Row", "T14")]
    public void Unmap_SeveralWithHole_ReportsTheSum()
    {
        Map(0, Mega);
        Map(Mega, Mega);
        Map(4 * Mega, Mega);
        Assert.Equal(3 * Mega, _container.UnmapDma(0, 8 * Mega));
        Assert.False(IsMapped(4 * Mega));
    }

    [Fact]
    [Trait("Row", "T15")]
    public void Unmap_Nothing_SucceedsWithZero()
    {
        Assert.Equal(0ul, _container.UnmapDma(0, Page));
        Assert.Equal(0ul, _container.UnmapDma(0, 0, all: true));
    }

    [Fact]
    [Trait("Row", "T16")]
    public void Unmap_FirstForm_TakesWholeOrStops()
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready(VfioIommuType.Type1);
        ProcessMemory memory = rig.Memory(2 * Mega);
        container.MapDma(0, 2 * Mega, DmaAccess.Read, memory, 0);
        Assert.Equal(0ul, container.UnmapDma(Page, Page));
        Assert.Equal(2 * Mega, container.UnmapDma(0, Page));
        memory.Release();
        group.Dispose();
        container.Dispose();
    }

    [Theory]
    [InlineData(Page, 0ul)]
    [InlineData(0ul, Page)]
    [Trait("Row", "T17")]
    public void Unmap_AllWithRange_EINVAL(ulong iova, ulong size)
    {
        Map(0, Page);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _container.UnmapDma(iova, size, all: true)));
        Assert.True(IsMapped(0));
    }

    [Fact]
    public void Unmap_BadArguments_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, UnmapError(0, 0));
        Assert.Equal(Errno.EINVAL, UnmapError(1, Page));
        Assert.Equal(Errno.EINVAL, UnmapError(0, Page - 1));
    }

    [Fact]
    public void Unmap_ToTheEndOfTheAddressSpace_Works()
    {
        Map(0xfef0_0000, Page);
        Map(1ul << 63, Page);
        Map(LastPage, Page);
        Assert.Equal(3 * Page, _container.UnmapDma(0xfef0_0000, 0xffff_ffff_0110_0000));
    }

    [Fact]
    [Trait("Row", "T25")]
    public void AttachGroup_Twice_EINVAL()
    {
        var backend = new Type1Backend(_rig.Host, splitsNothing: true);
        IommuGroup group = _rig.Unit.CreateGroup();
        backend.AttachGroup(group);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => backend.AttachGroup(group)));
        backend.DetachGroup(group);
    }

    [Fact]
    [Trait("Row", "T26")]
    public void Attach_NoIsolatedMsi_EPERMUnlessAllowed()
    {
        (IommuGroup unsafeGroup, _) = _rig.Second(new IommuUnitOptions { IsolatedMsi = false });
        using VfioGroup second = _rig.Host.OpenGroup(unsafeGroup.Number, Rig.User);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => second.SetContainer(_container)));
        Assert.False(unsafeGroup.IsClaimed);

        using var rig = new Rig(new IommuUnitOptions { IsolatedMsi = false }, new VfioHostOptions { AllowUnsafeInterrupts = true });
        (VfioContainer container, VfioGroup group) = rig.Ready();
        group.Dispose();
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "T27")]
    public void Attach_MappingInsideReservedRange_EINVAL()
    {
        (IommuGroup other, _) = _rig.Second(reserved: [new IovaRange(0x10_0000, 0x10_ffff)]);
        using VfioGroup second = _rig.Host.OpenGroup(other.Number, Rig.User);
        Map(0x10_8000, Page);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => second.SetContainer(_container)));
        _container.UnmapDma(0, 0, all: true);
        second.SetContainer(_container);
        Assert.Equal(Errno.EINVAL, MapError(0x10_8000, Page));
        second.UnsetContainer();
        Map(0x10_8000, Page);
    }

    [Fact]
    [Trait("Row", "T28")]
    public void Attach_MappingOutsideAperture_EINVAL()
    {
        (IommuGroup other, _) = _rig.Second(new IommuUnitOptions { Aperture = new IovaRange(0, 0xffff_ffff) });
        using VfioGroup second = _rig.Host.OpenGroup(other.Number, Rig.User);
        Map(1ul << 40, Page);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => second.SetContainer(_container)));
        _container.UnmapDma(0, 0, all: true);
        second.SetContainer(_container);
        Assert.Equal(Errno.EINVAL, MapError(1ul << 40, Page));
    }

    [Fact]
    [Trait("Row", "T29")]
    public void Attach_SameUnit_SharesTheDomain()
    {
        (IommuGroup other, _) = _rig.Second();
        using VfioGroup second = _rig.Host.OpenGroup(other.Number, Rig.User);
        second.SetContainer(_container);
        Assert.NotNull(other.Domain);
        Assert.Same(_rig.Group.Domain, other.Domain);
    }

    [Fact]
    [Trait("Row", "T30")]
    public void Attach_OtherUnit_ReplaysTheMappings()
    {
        (IommuGroup other, _) = _rig.Second(new IommuUnitOptions { PageSizes = ~0xfffful });
        using VfioGroup second = _rig.Host.OpenGroup(other.Number, Rig.User);
        Map(0x10000, 0x10000);
        second.SetContainer(_container);
        Assert.NotSame(_rig.Group.Domain, other.Domain);
        Map(0x40000, 0x10000);
        var port = new DmaPort(other, _rig.Strand) { BusMasterEnabled = true };
        Assert.Equal(Errno.None, port.Write(0x10004, [1, 2, 3]));
        Assert.Equal(Errno.None, port.Read(0x40000, new byte[8]));
        byte[] seen = new byte[3];
        Assert.Equal(Errno.None, _rig.Port.Read(0x10004, seen));
        Assert.Equal([1, 2, 3], seen);
        Assert.Equal(Errno.EINVAL, MapError(0x80000, Page));
    }

    [Fact]
    public void UnmapAndDetach_InsideOwnScope_EDEADLKAndNothingChanged()
    {
        Map(0, Page);
        using (_rig.Port.Enter())
        {
            Assert.Equal(Errno.EDEADLK, UnmapError(0, Page));
            Assert.Equal(Errno.EDEADLK, ErrnoOf(_group.UnsetContainer));
        }

        Assert.True(IsMapped(0));
        Assert.Equal(Page, _container.UnmapDma(0, Page));
    }

    private void Map(ulong iova, ulong size) => _container.MapDma(iova, size, DmaAccess.ReadWrite, _memory, 0);

    private Errno MapError(ulong iova, ulong size, DmaAccess access = DmaAccess.ReadWrite, ulong offset = 0) =>
        ErrnoOf(() => _container.MapDma(iova, size, access, _memory, offset));

    private Errno UnmapError(ulong iova, ulong size) => ErrnoOf(() => _container.UnmapDma(iova, size));

    private bool IsMapped(ulong iova) => _rig.Port.Read(iova, new byte[1]) == Errno.None;
}
