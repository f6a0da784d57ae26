using System.Numerics;
using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class IoasTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Everything = ulong.MaxValue;
    private const ulong Base = 1ul << 30;

    private readonly IommufdRig _rig = new();
    private readonly Ioas _ioas;
    private readonly ProcessMemory _memory;

    public IoasTests()
    {
        _ioas = _rig.Context.AllocateIoas();
        _memory = _rig.Rig.Memory(64 * Page);
    }

    public void Dispose()
    {
        _memory.Release();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "A7")]
    public void Destroy_UnusedIoas_GoesAndFreesItsId()
    {
        Map(Base, Page);
        _rig.Context.Destroy(_ioas.Id);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.GetIoas(_ioas.Id)));
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => Map(Base, Page)));
        Assert.Equal(_ioas.Id, _rig.Context.AllocateIoas().Id);
    }

    [Fact]
    [Trait("Row", "A8")]
    public void CloseContext_ManyAreas_GivesEverythingBack()
    {
        (VfioCdevFile file, Ioas attached) = _rig.Attach();
        for (ulong i = 0; i < 300; i++)
        {
            Map(Base + (i * 2 * Page), Page);
            attached.Copy(_ioas, Base + (i * 2 * Page), Page, DmaAccess.Read);
        }

        file.Dispose();
        _rig.Context.Dispose();
        Assert.Equal(0ul, _rig.Context.PinnedPages);
    }

    [Fact]
    [Trait("Row", "A9")]
    public void Unmap_NothingMapped_ENOENT()
    {
        for (ulong i = 0; i < 10; i++)
        {
            Assert.Equal(Errno.ENOENT, UnmapError(Base + (i * Page), Page));
        }
    }

    [Fact]
    [Trait("Row", "A10")]
    public void Unmap_EachOfTen_ReportsItsSize()
    {
        for (ulong i = 0; i < 10; i++)
        {
            Map(Base + (i * Page), Page);
        }

        for (ulong i = 0; i < 10; i++)
        {
            Assert.Equal(Page, _ioas.Unmap(Base + (i * Page), Page));
        }
    }

    [Theory]
    [InlineData(0ul)]
    [InlineData(Page)]
    [Trait("Row", "A11")]
    public void Unmap_HalfOfAMapping_ENOENTAndStillMapped(ulong offset)
    {
        Map(Base, 2 * Page);
        Assert.Equal(Errno.ENOENT, UnmapError(Base + offset, Page));
        Assert.Equal(2 * Page, _ioas.Unmap(Base, 2 * Page));
    }

    [Theory]
    [InlineData(0, 2)]
    [InlineData(0, 1)]
    [InlineData(1, 1)]
    [InlineData(-1, 2)]
    [InlineData(-1, 3)]
    [Trait("Row", "A12")]
    public void Map_Overlap_EEXIST(int firstPage, ulong pages)
    {
        Map(Base, 2 * Page);
        Assert.Equal(Errno.EEXIST, MapError(Base + (ulong)(firstPage * (long)Page), pages * Page));
    }

    [Fact]
    [Trait("Row", "A13")]
    public void UnmapEverything_EmptyOrNot_Succeeds()
    {
        Assert.Equal(0ul, _ioas.Unmap(0, Everything));
        Map(Base, 3 * Page);
        Assert.Equal(3 * Page, _ioas.Unmap(0, Everything));
    }

    [Fact]
    [Trait("Row", "A14")]
    public void Unmap_AcrossSeveral_CutsNothingAndKeepsWhatItHasNotReached()
    {
        MapFour();
        Assert.Equal(Errno.ENOENT, UnmapError(Base + Page, 60 * Page));
        Assert.Equal(Errno.ENOENT, UnmapError(Base, 50 * Page));
        Assert.Equal(8 * Page, _ioas.Unmap(0, Everything));
        MapFour();
        Assert.Equal(32 * Page, _ioas.Unmap(Base - Page, 64 * Page));
    }

    [Fact]
    [Trait("Row", "A15")]
    public void Map_Automatic_AlignedToTheLengthsPowerOfTwo()
    {
        for (ulong pages = 1; pages <= 10; pages++)
        {
            ulong length = pages * Page;
            ulong iova = _ioas.Map(_memory, 0, length, DmaAccess.ReadWrite);
            Assert.Equal(0ul, iova % (1ul << BitOperations.TrailingZeroCount(length)));
            Assert.NotEqual(0ul, iova);
        }
    }

    [Fact]
    [Trait("Row", "A17")]
    public void Map_AutomaticWithAllowedRanges_StaysInside()
    {
        var allowed = new IovaRange(Base, Base + (40 * Page) - 1);
        _ioas.AllowIovas([allowed]);
        for (int i = 0; i < 10; i++)
        {
            ulong iova = _ioas.Map(_memory, 0, 4 * Page, DmaAccess.Read);
            Assert.True(allowed.Contains(new IovaRange(iova, iova + (4 * Page) - 1)));
        }

        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => _ioas.Map(_memory, 0, 4 * Page, DmaAccess.Read)));
        Map(0x10000, Page);
        _ioas.AllowIovas([]);
        Assert.InRange(_ioas.Map(_memory, 0, 4 * Page, DmaAccess.Read), Page, Base);
    }

    [Fact]
    [Trait("Row", "A20")]
    public void AllowIovas_BadEntries_EINVALAndOldListStays()
    {
        _ioas.AllowIovas([new IovaRange(Base, Base + Page - 1)]);
        Assert.Equal(Errno.EINVAL, AllowError(new IovaRange(5, 5)));
        Assert.Equal(Errno.EINVAL, AllowError(new IovaRange(0, 100), new IovaRange(100, 200)));
        Assert.Equal(Base, _ioas.Map(_memory, 0, Page, DmaAccess.Read));
    }

    [Fact]
    [Trait("Row", "A22")]
    public void IovaRanges_Fresh_OneWithAlignmentOne()
    {
        Assert.Equal([IovaRange.All], _ioas.IovaRanges);
        Assert.Equal(1ul, _ioas.Alignment);
    }

    [Fact]
    [Trait("Row", "A24")]
    public void Map_BadRequests_EachHasItsErrno()
    {
        Assert.Equal(Errno.EOPNOTSUPP, MapError(Base, Page, (DmaAccess)8));
        Assert.Equal(Errno.EINVAL, MapError(Base, Page, DmaAccess.None));
        Assert.Equal(Errno.EINVAL, MapError(Base, 0));
        Assert.Equal(Errno.EOVERFLOW, MapError(Base, Everything));
        Assert.Equal(Errno.EOVERFLOW, MapError(Everything, Page));
        Assert.Equal(Errno.EFAULT, MapError(Base, 65 * Page));
    }

    [Fact]
    [Trait("Row", "A25")]
    public void Map_AutomaticOddLengths_FineWithoutDevice()
    {
        for (ulong length = 1; length < 3 * Page; length += 777)
        {
            ulong iova = _ioas.Map(_memory, 5, length, DmaAccess.Read);
            Assert.Equal(length, _ioas.Unmap(iova, length));
        }
    }

    [Fact]
    [Trait("Row", "A27")]
    public void Copy_SameAndOtherIoas_SameMemoryPinnedOnce()
    {
        (VfioCdevFile file, Ioas attached) = _rig.Attach();
        Map(Base, 4 * Page);
        _ioas.Copy(_ioas, Base, 4 * Page, DmaAccess.ReadWrite, 2 * Base);
        attached.Copy(_ioas, Base, 4 * Page, DmaAccess.ReadWrite, Base);
        attached.Copy(_ioas, 2 * Base, 2 * Page, DmaAccess.ReadWrite, 3 * Base);
        Assert.Equal(4ul, _rig.Context.PinnedPages);
        Assert.Equal(4 * Page, _rig.Context.LockedBytes);
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(3 * Base, [7]));
        Assert.Equal(7, _memory.Span(0, 1)[0]);
        attached.Unmap(Base, 4 * Page);
        Assert.Equal(2ul, _rig.Context.PinnedPages);
        file.Dispose();
        Assert.Equal(0ul, _rig.Context.PinnedPages);
    }

    [Fact]
    [Trait("Row", "A28")]
    public void Copy_EveryStartAndLength_WorksWhenCovered()
    {
        Ioas target = _rig.Context.AllocateIoas();
        Map(Base, 2 * Page);
        Map(Base + (2 * Page), Page);
        Map(Base + (4 * Page), 2 * Page);
        bool[] mapped = [false, true, true, true, false, true, true, false];
        for (int start = 0; start < mapped.Length; start++)
        {
            for (int length = 1; start + length <= mapped.Length; length++)
            {
                ulong iova = Base - Page + ((ulong)start * Page);
                Errno expected = mapped.AsSpan(start, length).Contains(false) ? Errno.ENOENT : Errno.None;
                Assert.Equal(expected, ErrnoOf(() => target.Copy(_ioas, iova, (ulong)length * Page, DmaAccess.Read)));
            }
        }

        Assert.Equal(Errno.EINVAL, ErrnoOf(() => target.Copy(_ioas, Base, 0, DmaAccess.Read)));
    }

    [Fact]
    [Trait("Row", "A29")]
    public void Copy_WriteOfReadOnlyPages_EPERM()
    {
        Map(Base, Page, DmaAccess.Read);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _ioas.Copy(_ioas, Base, Page, DmaAccess.ReadWrite, 2 * Base)));
        _ioas.Copy(_ioas, Base, Page, DmaAccess.Read, 2 * Base);
    }

    [Fact]
    [Trait("Row", "A30")]
    public void HugePages_SetAndGet_Keep()
    {
        Assert.True(_ioas.HugePages);
        _ioas.HugePages = false;
        Assert.False(_ioas.HugePages);
        Assert.Equal(Page, _ioas.Alignment);
        _ioas.HugePages = true;
        Assert.Equal(1ul, _ioas.Alignment);
    }

    [Fact]
    [Trait("Row", "A31")]
    public void HugePages_OffWithMisalignedArea_EADDRINUSE()
    {
        _ioas.Map(_memory, 5, 100, DmaAccess.Read);
        Assert.Equal(Errno.EADDRINUSE, ErrnoOf(() => _ioas.HugePages = false));
        Assert.True(_ioas.HugePages);
    }

    [Fact]
    [Trait("Row", "A32")]
    public void HugePages_OffWithDomainAndArea_EINVAL()
    {
        (VfioCdevFile file, Ioas attached) = _rig.Attach();
        attached.HugePages = false;
        attached.HugePages = true;
        attached.Map(_memory, 0, Page, DmaAccess.Read);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => attached.HugePages = false));
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A33")]
    public void Map_OddPageOffsetWithoutHugePages_EINVAL()
    {
        _ioas.HugePages = false;
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _ioas.Map(_memory, 5, Page, DmaAccess.Read, Base)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _ioas.Map(_memory, 5, Page, DmaAccess.Read)));
    }

    [Fact]
    [Trait("Row", "A35")]
    public void MapFile_Memfd_DevicesSeeTheFile()
    {
        using (MemoryFile file = MemoryFile.Create("test", 8 * Page, ledger: _rig.Rig.Host.Ledger))
        {
            DescriptorIO.WriteAt(file.Descriptor.Value, 2 * Page, [1, 2, 3], out _);
            (VfioCdevFile device, Ioas attached) = _rig.Attach();
            ulong iova = attached.MapFile(file.Descriptor, 2 * Page, 2 * Page, DmaAccess.ReadWrite);
            byte[] seen = new byte[3];
            Assert.Equal(Errno.None, _rig.Rig.Port.Read(iova, seen));
            Assert.Equal([1, 2, 3], seen);
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => attached.MapFile(file.Descriptor, 0, 0, DmaAccess.Read)));
            Assert.Equal(Errno.EINVAL, ErrnoOf(() => attached.MapFile(file.Descriptor, 4 * Page, 5 * Page, DmaAccess.Read)));
            device.Dispose();
        }

        _rig.Context.Dispose();
        _rig.Rig.Host.Mappings.Trim();
    }

    [Fact]
    public void Map_OverTheLockedLimit_ENOMEMOnlyOnceSomethingIsAttached()
    {
        using var rig = new IommufdRig(caller: Rig.User with { MemlockLimit = 4 * Page });
        Ioas ioas = rig.Context.AllocateIoas();
        ioas.Map(_memory, 0, 8 * Page, DmaAccess.Read, Base);
        using VfioCdevFile file = rig.Bind();
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => file.Attach(ioas.Id)));
        Assert.Equal(0ul, rig.Context.LockedBytes);
        ioas.Unmap(Base, 8 * Page);
        file.Attach(ioas.Id);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => ioas.Map(_memory, 0, 8 * Page, DmaAccess.Read, Base)));
        ioas.Map(_memory, 0, 4 * Page, DmaAccess.Read, Base);
        Assert.Equal(4 * Page, rig.Context.LockedBytes);
    }

    private void Map(ulong iova, ulong length, DmaAccess access = DmaAccess.ReadWrite) =>
        Assert.Equal(iova, _ioas.Map(_memory, 0, length, access, iova));

    private Errno MapError(ulong iova, ulong length, DmaAccess access = DmaAccess.ReadWrite) =>
        ErrnoOf(() => _ioas.Map(_memory, 0, length, access, iova));

    private Errno UnmapError(ulong iova, ulong length) => ErrnoOf(() => _ioas.Unmap(iova, length));

    private Errno AllowError(params IovaRange[] ranges) => ErrnoOf(() => _ioas.AllowIovas(ranges));

    private void MapFour()
    {
        for (ulong i = 0; i < 4; i++)
        {
            Map(Base + (i * 16 * Page), 8 * Page);
        }
    }
}
