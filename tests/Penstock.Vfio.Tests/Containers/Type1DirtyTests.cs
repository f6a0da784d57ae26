using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>DIRTY_PAGES, and UNMAP_DMA that tells what was dirty.</summary>
public sealed class Type1DirtyTests
{
    private const ulong Page = Type1Rig.Page;
    private const ulong BitmapAt = Type1Rig.Base + (8 * Type1Rig.Mega);

    [Fact]
    [Trait("Row", "T34")]
    public void DirtyPages_FirstForm_EACCES()
    {
        using var rig = new Type1Rig(type: VfioIommuType.Type1);
        Assert.Equal(Errno.EACCES, rig.Dirty(VfioDirtyPagesFlags.Start));
        Assert.Equal(Errno.EACCES, rig.Dirty(VfioDirtyPagesFlags.Start, argsz: 4));
    }

    [Theory]
    [InlineData(3u)]
    [InlineData(0u)]
    [InlineData(8u)]
    [InlineData(5u)]
    [Trait("Row", "T35")]
    public void DirtyPages_NotExactlyOneFlag_EINVAL(uint flags)
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.EINVAL, rig.Dirty((VfioDirtyPagesFlags)flags));
        Assert.Equal(Errno.EINVAL, rig.Dirty(VfioDirtyPagesFlags.Start, argsz: 7));
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.Stop, argsz: 8));
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.Start, argsz: 8));
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.Start));
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.Stop));
    }

    [Fact]
    [Trait("Row", "T36")]
    public void Get_NotStarted_EINVAL()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        Assert.Equal(Errno.EINVAL, Get(rig, 0, Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        Assert.Equal(Errno.None, Get(rig, 0, Page));
        rig.Dirty(VfioDirtyPagesFlags.Stop);
        Assert.Equal(Errno.EINVAL, Get(rig, 0, Page));
    }

    [Fact]
    [Trait("Row", "T37")]
    public void Get_RealGroupWithoutPins_AllDirtyEachTime()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 70 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        for (int i = 0; i < 2; i++)
        {
            Assert.Equal(Errno.None, Get(rig, 0, 70 * Page));
            Assert.Equal([ulong.MaxValue, 0x3f], Words(rig, 2));
        }
    }

    [Fact]
    public void Get_RealGroupAfterItsFirstPin_OnlyWhatIsPinnedOrWritten()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        Assert.Equal(Errno.None, rig.Device.Pin(5 * Page, 2));
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([0x60ul], Words(rig, 1));
        rig.Device.UnpinPages(5 * Page, 2);
        Assert.Equal(Errno.None, rig.Device.DmaWrite((8 * Page) - 1, [1, 2]));
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([0x1e0ul], Words(rig, 1));

        // A group that joins has not pinned yet; when it leaves nobody knows what it wrote.
        IommuGroup other = rig.Unit.CreateGroup();
        rig.Host.Register(new FakeDevice("fake1"), other);
        using VfioGroup second = rig.Host.OpenGroup(other.Number, rig.Caller);
        second.SetContainer(rig.Container);
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([ulong.MaxValue], Words(rig, 1));
        second.UnsetContainer();
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([ulong.MaxValue], Words(rig, 1));
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([0ul], Words(rig, 1));
    }

    [Fact]
    [Trait("Row", "T38")]
    public void Get_EmulatedOnly_PinnedPagesAndThenOnlyThoseStillPinned()
    {
        using var rig = new Type1Rig(emulated: true);
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        Assert.Equal(Errno.None, rig.Device.Pin(3 * Page, 1));
        Assert.Equal(Errno.None, rig.Device.Pin(9 * Page, 1));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        rig.Device.UnpinPages(3 * Page, 1);
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([(1ul << 3) | (1ul << 9)], Words(rig, 1));
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([1ul << 9], Words(rig, 1));
    }

    [Fact]
    public void Get_EmulatedDeviceWritesThroughItsPort_Dirty()
    {
        using var rig = new Type1Rig(emulated: true);
        using var strand = new Strand("test");
        var port = new DmaPort(rig.IommuGroup, strand) { BusMasterEnabled = true };
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        Assert.Equal(Errno.None, port.Write((3 * Page) - 1, [1, 2]));
        Assert.Equal(Errno.None, Get(rig, 0, 64 * Page));
        Assert.Equal([0xcul], Words(rig, 1));
        Assert.Equal([1, 2], rig.User.Span(Type1Rig.Base + (3 * Page) - 1, 2).ToArray());
    }

    [Theory]
    [InlineData(70, 8ul, Page, 0ul)]
    [InlineData(70, 0ul, Page, 0ul)]
    [InlineData(70, 0x1000_0008ul, Page, 0ul)]
    [InlineData(70, 16ul, 2 * Page, 0ul)]
    [InlineData(70, 16ul, 0ul, 0ul)]
    [InlineData(69, 16ul, Page, 0ul)]
    [InlineData(68, 16ul, Page, 1ul)]
    [InlineData(0, 16ul, Page, 0ul)]
    [Trait("Row", "T39")]
    public void Get_BadBitmapOrRange_EINVAL(int pages, ulong bytes, ulong pageSize, ulong from)
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 70 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        var bitmap = new VfioBitmap { PageSize = pageSize, Size = bytes, Data = BitmapAt };
        Assert.Equal(Errno.EINVAL, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, from * Page, (ulong)pages * Page, bitmap));
        bitmap = new VfioBitmap { PageSize = Page, Size = 16, Data = BitmapAt };
        Assert.Equal(Errno.EINVAL, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 0, 70 * Page, bitmap, argsz: 47));
        Assert.Equal(Errno.EINVAL, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 1, 70 * Page, bitmap));
        Assert.Equal(Errno.EOVERFLOW, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 2 * Page, ulong.MaxValue - Page + 1, bitmap));
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 0, 70 * Page, bitmap));
        Assert.Equal(Errno.EFAULT, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 0, 70 * Page, bitmap with { Data = 8 }));
    }

    [Fact]
    [Trait("Row", "T40")]
    public void Unmap_GetDirtyOverTwoMappings_BitsAtTheirOffsets()
    {
        using var rig = new Type1Rig(emulated: true);
        Assert.Equal(Errno.None, rig.Map(Page, 10 * Page));
        Assert.Equal(Errno.None, rig.Map(20 * Page, 64 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        Assert.Equal(Errno.None, rig.Device.DmaWrite(2 * Page, [1]));
        Assert.Equal(Errno.None, rig.Device.DmaWrite(70 * Page, [1]));
        var bitmap = new VfioBitmap { PageSize = Page, Size = 16, Data = BitmapAt };
        rig.User.Span(BitmapAt, 24).Clear();
        Assert.Equal((Errno.None, 74 * Page), rig.Unmap(0, 128 * Page, VfioDmaUnmapFlags.GetDirtyBitmap, bitmap: bitmap));
        Assert.Equal([1ul << 2, 1ul << (70 - 64), 0], Words(rig, 3));
        Assert.Equal(65535u, rig.Available());
    }

    [Fact]
    public void Unmap_GetDirtyBitmapFaults_EarlierMappingsAreGone()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, 64 * Page));
        Assert.Equal(Errno.None, rig.Map(64 * Page, 64 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        var bitmap = new VfioBitmap { PageSize = Page, Size = 16, Data = Type1Rig.Base + Type1Rig.MemorySize - 8 };
        Assert.Equal((Errno.EFAULT, 128 * Page), rig.Unmap(0, 128 * Page, VfioDmaUnmapFlags.GetDirtyBitmap, bitmap: bitmap));
        Assert.False(rig.IsMapped(0));
        Assert.True(rig.IsMapped(64 * Page));
    }

    [Fact]
    [Trait("Row", "T41")]
    public void Unmap_GetDirtyWithAllOrVaddrOrNotTracking_EINVAL()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(0, Page));
        var bitmap = new VfioBitmap { PageSize = Page, Size = 8, Data = BitmapAt };
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, Page, VfioDmaUnmapFlags.GetDirtyBitmap, bitmap: bitmap).Errno);
        rig.Dirty(VfioDirtyPagesFlags.Start);
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, 0, VfioDmaUnmapFlags.GetDirtyBitmap | VfioDmaUnmapFlags.All, bitmap: bitmap).Errno);
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, Page, VfioDmaUnmapFlags.GetDirtyBitmap | VfioDmaUnmapFlags.Vaddr, bitmap: bitmap).Errno);
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, Page, VfioDmaUnmapFlags.GetDirtyBitmap, argsz: 47, bitmap: bitmap).Errno);
        Assert.Equal(Errno.EINVAL, rig.Unmap(0, Page, VfioDmaUnmapFlags.GetDirtyBitmap, bitmap: bitmap with { Size = 0 }).Errno);
        Assert.True(rig.IsMapped(0));
        Assert.Equal((Errno.None, Page), rig.Unmap(0, Page, VfioDmaUnmapFlags.GetDirtyBitmap, bitmap: bitmap));
        Assert.Equal([1ul], Words(rig, 1));
    }

    [Fact]
    public void Get_SharedFirstWord_BitsOfTheLowerNeighbourStay()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.None, rig.Map(8 * Page, 8 * Page));
        rig.Dirty(VfioDirtyPagesFlags.Start);
        rig.User.Span(BitmapAt, 8).Fill(0xff);
        var bitmap = new VfioBitmap { PageSize = Page, Size = 8, Data = BitmapAt };
        Assert.Equal(Errno.None, rig.Dirty(VfioDirtyPagesFlags.GetBitmap, 0, 64 * Page, bitmap));
        Assert.Equal([0xfffful], Words(rig, 1));
    }

    [Fact]
    public void TypedCalls_SameAsTheStructures()
    {
        using var rig = new Type1Rig();
        ProcessMemory memory = ProcessMemory.Allocate(4 * Page, rig.Host.Ledger);
        rig.Container.MapDma(0, 4 * Page, DmaAccess.ReadWrite, memory, 0);
        rig.Container.StartDirtyTracking();
        ulong[] words = new ulong[1];
        rig.Container.GetDirtyPages(0, 4 * Page, Page, words);
        Assert.Equal([0xful], words);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => rig.Container.GetDirtyPages(0, 4 * Page, 2 * Page, new ulong[1])));
        rig.Container.InvalidateVaddr(0, 0, all: true);
        rig.Container.UpdateVaddr(0, 4 * Page, memory, 0);
        Assert.Equal(4 * Page, rig.Container.UnmapDma(0, 4 * Page, Page, words));
        rig.Container.StopDirtyTracking();
        memory.Release();
    }

    private static Errno Get(Type1Rig rig, ulong iova, ulong size)
    {
        ulong bytes = ((size / Page) + 63) / 64 * 8;
        rig.User.Span(BitmapAt, (int)bytes).Clear();
        return rig.Dirty(VfioDirtyPagesFlags.GetBitmap, iova, size, new VfioBitmap { PageSize = Page, Size = bytes, Data = BitmapAt });
    }

    private static ulong[] Words(Type1Rig rig, int count) =>
        [.. Enumerable.Range(0, count).Select(i => BitConverter.ToUInt64(rig.User.Span(BitmapAt + ((ulong)i * 8), 8)))];
}
