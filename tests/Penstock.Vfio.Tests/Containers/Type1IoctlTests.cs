using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>MAP_DMA, UNMAP_DMA and GET_INFO with the kernel's structures.</summary>
public sealed class Type1IoctlTests : IDisposable
{
    private const ulong Page = Type1Rig.Page;
    private const ulong Mega = Type1Rig.Mega;
    private const ulong LastPage = ulong.MaxValue - Page + 1;

    private readonly Type1Rig _rig = new(new IommuUnitOptions { Reserved = [new IovaRange(0xfee0_0000, 0xfeef_ffff)] });

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "T1")]
    public void Unmap_OnePage_SizeAndTranslationGone()
    {
        Assert.Equal(Errno.None, _rig.Map(0x40000, Page));
        Assert.True(_rig.IsMapped(0x40000));
        Assert.Equal((Errno.None, Page), _rig.Unmap(0x40000, Page));
        Assert.False(_rig.IsMapped(0x40000));
    }

    [Fact]
    [Trait("Row", "T2")]
    public void MapAndUnmap_LastPage_ByRangeAndByAll()
    {
        Assert.Equal(Errno.None, _rig.Map(LastPage, Page));
        Assert.True(_rig.IsMapped(ulong.MaxValue));
        Assert.Equal((Errno.None, Page), _rig.Unmap(LastPage, Page));
        Assert.Equal(Errno.None, _rig.Map(LastPage, Page));
        Assert.Equal((Errno.None, Page), _rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
        Assert.False(_rig.IsMapped(LastPage));
    }

    [Fact]
    [Trait("Row", "T3")]
    public void MapAndUnmap_PastTheEnd_EOVERFLOW()
    {
        Assert.Equal(Errno.EOVERFLOW, _rig.Map(LastPage, 2 * Page));
        Assert.Equal(Errno.EOVERFLOW, _rig.Map(0, 2 * Page, vaddr: LastPage));
        Assert.Equal((Errno.EOVERFLOW, 2 * Page), _rig.Unmap(LastPage, 2 * Page));
    }

    [Fact]
    [Trait("Row", "T4")]
    public void Map_SizeZeroOrOffByOne_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, _rig.Map(0, 0));
        Assert.Equal(Errno.EINVAL, _rig.Map(1, Page));
        Assert.Equal(Errno.EINVAL, _rig.Map(0, Page, vaddr: Type1Rig.Base + 1));
        Assert.Equal(Errno.EINVAL, _rig.Map(0, Page + 1));
        Assert.Equal(Errno.EINVAL, _rig.Map(0, Page, argsz: 31));
        Assert.Equal((Errno.None, 0ul), _rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(8u)]
    [InlineData(5u)]
    [Trait("Row", "T5")]
    public void Map_BadFlags_EINVAL(uint flags) => Assert.Equal(Errno.EINVAL, _rig.Map(0, Page, flags));

    [Fact]
    public void Map_WriteAlone_IsLegal() => Assert.Equal(Errno.None, _rig.Map(0, Page, flags: 2));

    [Fact]
    public void Map_SeveralFaults_TheFirstInOrderAnswers()
    {
        Assert.Equal(Errno.None, _rig.Map(0, Page));

        // A wrap comes before the flags, the flags before alignment, alignment before what is mapped, and that before the memory.
        Assert.Equal(Errno.EOVERFLOW, _rig.Map(LastPage, 2 * Page, flags: 0));
        Assert.Equal(Errno.EINVAL, _rig.Map(0, Page, flags: 0, vaddr: Type1Rig.Base + 1));
        Assert.Equal(Errno.EINVAL, _rig.Map(0, Page, vaddr: Type1Rig.Base + 1));
        Assert.Equal(Errno.EEXIST, _rig.Map(0, Page, vaddr: Page));
        Assert.Equal(Errno.EINVAL, _rig.Map(0xfee0_0000, Page, vaddr: Page));
        Assert.Equal(Errno.EFAULT, _rig.Map(Page, Page, vaddr: Page));
    }

    [Theory]
    [InlineData(1 * Mega, 2 * Mega)]
    [InlineData(3 * Mega, Page)]
    [InlineData((4 * Mega) - Page, 2 * Page)]
    [InlineData(1 * Mega, 4 * Mega)]
    [InlineData(2 * Mega, 2 * Mega)]
    [Trait("Row", "T6")]
    public void Map_Overlap_EEXIST(ulong iova, ulong size)
    {
        Assert.Equal(Errno.None, _rig.Map(2 * Mega, 2 * Mega));
        Assert.Equal(Errno.EEXIST, _rig.Map(iova, size));
        Assert.Equal((Errno.None, 2 * Mega), _rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
    }

    [Fact]
    [Trait("Row", "T7")]
    public void Map_MoreThanTheLimit_ENOSPCAndTheCounterTells()
    {
        for (ulong i = 0; i < 65535; i++)
        {
            Assert.Equal(Errno.None, _rig.Map(i * 2 * Page, Page));
        }

        Assert.Equal(Errno.ENOSPC, _rig.Map(1ul << 40, Page));
        Assert.Equal(0u, _rig.Available());
        Assert.Equal((Errno.None, Page), _rig.Unmap(2 * Page, Page));
        Assert.Equal(1u, _rig.Available());
        Assert.Equal((Errno.None, 65534 * Page), _rig.Unmap(0, 1ul << 40));
    }

    [Fact]
    [Trait("Row", "T8")]
    public void Map_AcrossReserved_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, _rig.Map(0xfee0_0000 - Page, 2 * Page));
        Assert.Equal(Errno.EINVAL, _rig.Map(0xfee0_0000, Page));
        Assert.Equal(Errno.None, _rig.Map(0xfee0_0000 - Page, Page));
    }

    [Theory]
    [InlineData(0ul, Mega)]
    [InlineData(Mega, Mega)]
    [InlineData(Mega, 2 * Mega)]
    [Trait("Row", "T13")]
    public void Unmap_CutsAMapping_EINVALAndStillMapped(ulong iova, ulong size)
    {
        Assert.Equal(Errno.None, _rig.Map(0, 2 * Mega));
        Assert.Equal((Errno.EINVAL, size), _rig.Unmap(iova, size));
        Assert.True(_rig.IsMapped(0));
        Assert.True(_rig.IsMapped((2 * Mega) - 1));
    }

    [Fact]
    [Trait("Row", "T14")]
    public void Unmap_SeveralAndHoles_SumOfSizes()
    {
        Assert.Equal(Errno.None, _rig.Map(0, Mega));
        Assert.Equal(Errno.None, _rig.Map(Mega, Mega));
        Assert.Equal(Errno.None, _rig.Map(4 * Mega, Mega));
        Assert.Equal((Errno.None, 3 * Mega), _rig.Unmap(0, 8 * Mega));
        Assert.False(_rig.IsMapped(4 * Mega));
    }

    [Fact]
    [Trait("Row", "T15")]
    public void Unmap_Nothing_ZeroAndSuccess() => Assert.Equal((Errno.None, 0ul), _rig.Unmap(0, Page));

    [Fact]
    [Trait("Row", "T16")]
    public void Unmap_FirstForm_TakesWholeOrStops()
    {
        using var rig = new Type1Rig(type: VfioIommuType.Type1);
        Assert.Equal(Errno.None, rig.Map(0, 2 * Mega));
        Assert.Equal((Errno.None, 0ul), rig.Unmap(Page, Page));
        Assert.True(rig.IsMapped(0));
        Assert.Equal((Errno.None, 2 * Mega), rig.Unmap(0, Page));
        Assert.False(rig.IsMapped(Page));
    }

    [Theory]
    [InlineData(Page, 0ul)]
    [InlineData(0ul, Page)]
    [Trait("Row", "T17")]
    public void Unmap_AllWithRange_EINVAL(ulong iova, ulong size)
    {
        Assert.Equal(Errno.None, _rig.Map(0, Page));
        Assert.Equal((Errno.EINVAL, size), _rig.Unmap(iova, size, VfioDmaUnmapFlags.All));
        Assert.True(_rig.IsMapped(0));
    }

    [Theory]
    [InlineData(Page, 23u, 0u)]
    [InlineData(Page, 24u, 8u)]
    [InlineData(Page, 24u, 1u)]
    [InlineData(Page + 1, 24u, 0u)]
    [InlineData(Page / 2, 24u, 0u)]
    [InlineData(0ul, 24u, 0u)]
    [Trait("Row", "T18")]
    public void Unmap_Error_StructureUnchanged(ulong size, uint argsz, uint flags)
    {
        Assert.Equal(Errno.None, _rig.Map(0, Page));
        var call = new VfioDmaUnmap { ArgumentSize = argsz, Flags = (VfioDmaUnmapFlags)flags, UnmapSize = size };
        byte[] before = MemoryMarshal.AsBytes(new ReadOnlySpan<VfioDmaUnmap>(in call)).ToArray();
        byte[] argument = [.. before];
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Container.Ioctl((uint)VfioContainerRequest.UnmapDma, argument)));
        Assert.Equal(before, argument);
        Assert.True(_rig.IsMapped(0));
    }

    [Fact]
    [Trait("Row", "T32")]
    public void GetInfo_EachSize_TellsWhatFits()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Info(8)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _rig.Info(15)));

        // The header is 24 bytes, MIGRATION 32, DMA_AVAIL 16 with its padding, IOVA_RANGE 16 and 16 for each range.
        const uint Needed = 24 + 32 + 16 + 16 + (2 * 16);
        byte[] small = _rig.Info(16);
        Assert.Equal(Needed, MemoryMarshal.Read<uint>(small));
        Assert.Equal(0u, MemoryMarshal.Read<uint>(small.AsSpan(16)));
        Assert.Equal(VfioIommuInfoFlags.PageSizes | VfioIommuInfoFlags.Capabilities, MemoryMarshal.Read<VfioIommuInfo>(small).Flags);
        byte[] tooSmall = _rig.Info(Needed - 1);
        Assert.Equal((Needed, 0u), (MemoryMarshal.Read<uint>(tooSmall), MemoryMarshal.Read<VfioIommuInfo>(tooSmall).CapabilityOffset));

        byte[] exact = _rig.Info(Needed);
        Assert.Equal(~0xffful, MemoryMarshal.Read<VfioIommuInfo>(exact).PageSizes);
        List<(ushort Id, byte[] Body)> chain = Type1Rig.Chain(exact);
        Assert.Equal([2, 3, 1], chain.Select(c => (int)c.Id));
        Assert.Equal([0, Page, 0x1000_0000], MemoryMarshal.Cast<byte, ulong>(chain[0].Body).ToArray());
        Assert.Equal(65535u, MemoryMarshal.Read<uint>(chain[1].Body));
        Assert.Equal([2, 0, 0xfedf_ffff, 0xfef0_0000, ulong.MaxValue], MemoryMarshal.Cast<byte, ulong>(chain[2].Body).ToArray());
    }

    [Fact]
    [Trait("Row", "T33")]
    public void GetInfo_OnlyEmulatedGroups_NoRangesAndAnyAddress()
    {
        using var rig = new Type1Rig(emulated: true);
        Assert.Equal([2, 3], Type1Rig.Chain(rig.Info()).Select(c => (int)c.Id));
        Assert.Equal(Errno.None, rig.Map(0xfee0_0000, Page));
        Assert.Equal(Errno.None, rig.Map(LastPage, Page));

        // Nothing is looked at or charged before a driver pins it.
        Assert.Equal(Errno.None, rig.Map(Mega, Page, vaddr: Page));
        Assert.Equal(0ul, rig.Locked);
        Assert.Equal((Errno.None, 3 * Page), rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
    }
}
