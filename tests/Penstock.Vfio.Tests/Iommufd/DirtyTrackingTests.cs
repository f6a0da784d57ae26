using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class DirtyTrackingTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;
    private const int Pages = 40;

    private readonly IommufdRig _rig = new();
    private readonly VfioCdevFile _file;
    private readonly PagingHwPagetable _table;
    private readonly Ioas _ioas;

    public DirtyTrackingTests()
    {
        _ioas = _rig.Context.AllocateIoas();
        _file = _rig.Bind();
        _table = (PagingHwPagetable)_rig.Context.AllocateHwPagetable(new HwPagetableRequest
        {
            DeviceId = _file.Binding!.Id, ParentId = _ioas.Id, Flags = IommuHwptAllocFlags.DirtyTracking,
        });
        _file.Attach(_table.Id);
        _ioas.MapAddress(IommufdRig.Buffer, 20 * Page, DmaAccess.ReadWrite, Base);
        _ioas.MapAddress(IommufdRig.Buffer + (20 * Page), 20 * Page, DmaAccess.ReadWrite, Base + (20 * Page));
    }

    public void Dispose()
    {
        _file.Dispose();
        _rig.Dispose();
    }

    [Theory]
    [InlineData(Page)]
    [InlineData(2 * Page)]
    [InlineData(1024ul)]
    [Trait("Row", "H19")]
    public void GetBitmap_AfterWrites_BitsOnceAndThenNone(ulong pageSize)
    {
        _table.SetDirtyTracking(true);
        Write(3);
        Write(19);
        Write(21);
        int perPage = (int)(Page / Math.Min(pageSize, Page));
        int pagesPerBit = (int)(Math.Max(pageSize, Page) / Page);
        var expected = new SortedSet<int>();
        foreach (int page in (int[])[3, 19, 21])
        {
            for (int i = 0; i < perPage; i++)
            {
                expected.Add((page / pagesPerBit * perPage) + i);
            }
        }

        Assert.Equal(expected, Bits(Base, Pages * Page, pageSize));
        Assert.Empty(Bits(Base, Pages * Page, pageSize));
    }

    [Fact]
    [Trait("Row", "H19")]
    public void GetBitmap_WriteAcrossPages_AllOfThemAndOnlyWrites()
    {
        _table.SetDirtyTracking(true);
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base + (19 * Page) + 5, new byte[2 * Page]));
        Assert.Equal(Errno.None, _rig.Rig.Port.Read(Base, new byte[Page]));
        Assert.Equal([19, 20, 21], Bits(Base, Pages * Page, Page));
    }

    [Fact]
    [Trait("Row", "H20")]
    public void GetBitmap_NoClear_BitsStay()
    {
        _table.SetDirtyTracking(true);
        Write(7);
        Assert.Equal([7], Bits(Base, Pages * Page, Page, keep: true));
        Assert.Equal([7], Bits(Base, Pages * Page, Page, keep: true));
        Assert.Equal([7], Bits(Base, Pages * Page, Page));
        Assert.Empty(Bits(Base, Pages * Page, Page));
    }

    [Fact]
    [Trait("Row", "H20")]
    public void GetBitmap_PartOfAMapping_OnlyThatPartIsForgotten()
    {
        _table.SetDirtyTracking(true);
        Write(3);
        Write(5);
        Assert.Equal([1], Bits(Base + (4 * Page), 4 * Page, Page));
        Assert.Equal([3], Bits(Base, Pages * Page, Page));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(5)]
    [Trait("Row", "H21")]
    public void GetBitmap_OddPlaces_NoOtherByteTouched(int offset)
    {
        _table.SetDirtyTracking(true);
        Write(0);
        Write(12);
        Span<byte> area = _rig.Memory.Span(IommufdRig.Buffer + (63 * Page), 32);
        area.Fill(0x80);
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.HwptGetDirtyBitmap, new IommuHwptGetDirtyBitmap
        {
            Size = IommuHwptGetDirtyBitmap.Length,
            HwptId = _table.Id,
            Iova = Base,
            RangeLength = 13 * Page,
            PageSize = Page,
            DataPointer = IommufdRig.Buffer + (63 * Page) + (ulong)offset,
        }));
        byte[] expected = new byte[32];
        expected.AsSpan().Fill(0x80);
        expected[offset] |= 1;
        expected[offset + 1] |= 1 << 4;
        Assert.Equal(expected, area.ToArray());
    }

    [Fact]
    [Trait("Row", "H22")]
    public void GetBitmap_BadRequests_EachHasItsErrno()
    {
        _table.SetDirtyTracking(true);
        Assert.Equal(Errno.EINVAL, BitsError(Base, 0, Page));
        Assert.Equal(Errno.EINVAL, BitsError(Base, Page, 0));
        Assert.Equal(Errno.EINVAL, BitsError(Base + 1, Page, Page));
        Assert.Equal(Errno.EINVAL, BitsError(Base, Page, 2 * Page));
        Assert.Equal(Errno.EOVERFLOW, BitsError(ulong.MaxValue - Page + 1, 2 * Page, Page));
        _table.SetDirtyTracking(false);
        Assert.Equal(Errno.EINVAL, BitsError(Base, Page, Page));
        var call = new IommuHwptSetDirtyTracking { Size = IommuHwptSetDirtyTracking.Length, HwptId = _table.Id, Flags = 2 };
        Assert.Equal(Errno.EOPNOTSUPP, _rig.IoctlError(IommufdRequest.HwptSetDirtyTracking, call));
        Assert.Equal(Errno.ENOENT, _rig.IoctlError(IommufdRequest.HwptSetDirtyTracking, call with { Flags = 1, HwptId = _ioas.Id }));
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.HwptSetDirtyTracking, call with { Flags = 1 }));
    }

    [Fact]
    public void SetDirtyTracking_Again_ForgetsOldBits()
    {
        _table.SetDirtyTracking(true);
        Write(3);
        _table.SetDirtyTracking(true);
        Assert.Empty(Bits(Base, Pages * Page, Page));
        Write(4);
        Assert.Equal([4], Bits(Base, Pages * Page, Page));
    }

    [Fact]
    public void SetDirtyTracking_MappingTooLargeForALog_ENOMEMAndNothingChanged()
    {
        const ulong Huge = 1ul << 56;
        var endless = new MessageMemory(new FakeChannel(0, 1), 0, Huge);
        _ioas.Map(endless, 0, Huge, DmaAccess.ReadWrite, Huge);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => _table.SetDirtyTracking(true)));
        Assert.True(CanBorrow());
        _ioas.Unmap(Huge, Huge);
        _table.SetDirtyTracking(true);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => _ioas.Map(endless, 0, Huge, DmaAccess.ReadWrite, Huge)));
        endless.Release();
    }

    [Fact]
    public void Borrow_WhileTracking_RefusedAndBackAfterwards()
    {
        Assert.True(CanBorrow());
        _table.SetDirtyTracking(true);
        Assert.False(CanBorrow());
        _table.SetDirtyTracking(false);
        Assert.True(CanBorrow());
        byte[] seen = new byte[1];
        Write(22);
        Assert.Equal(Errno.None, _rig.Rig.Port.Read(Base + (22 * Page), seen));
        Assert.Equal(0xa5, seen[0]);
    }

    [Fact]
    public void MapAndUnmap_WhileTracking_LogFollowsTheMapping()
    {
        _table.SetDirtyTracking(true);
        Write(25);
        _ioas.Unmap(Base + (20 * Page), 20 * Page);
        Assert.Empty(Bits(Base, Pages * Page, Page));
        for (ulong i = 0; i < 70; i++)
        {
            _ioas.MapAddress(IommufdRig.Buffer + (i % 64 * Page), Page, DmaAccess.ReadWrite, Base + ((100 + (2 * i)) * Page));
        }

        Write(100 + (2 * 69));
        Write(100);
        Assert.Equal([0, 138], Bits(Base + (100 * Page), 140 * Page, Page));
    }

    [Fact]
    public async Task SetDirtyTracking_WhileADeviceWrites_EveryLaterWriteIsSeen()
    {
        using var stop = new CancellationTokenSource();
        Task writer = Task.Run(() =>
        {
            while (!stop.IsCancellationRequested)
            {
                Write(1);
            }
        });
        for (int i = 0; i < 200; i++)
        {
            _table.SetDirtyTracking(true);
            Write(30);
            Assert.Contains(30, Bits(Base, Pages * Page, Page));
            _table.SetDirtyTracking(false);
        }

        await stop.CancelAsync();
        await writer;
    }

    private void Write(ulong page) => Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base + (page * Page), [0xa5]));

    private bool CanBorrow()
    {
        using DmaScope scope = _rig.Rig.Port.Enter();
        return scope.TryBorrow(Base, Page, DmaAccess.Read, out _);
    }

    private SortedSet<int> Bits(ulong iova, ulong length, ulong pageSize, bool keep = false)
    {
        byte[] bitmap = new byte[(((length - 1) / pageSize) / 8) + 1];
        _table.GetDirtyBitmap(iova, length, pageSize, keep, bitmap);
        return [.. Enumerable.Range(0, bitmap.Length * 8).Where(i => (bitmap[i / 8] & (1 << (i % 8))) != 0)];
    }

    private Errno BitsError(ulong iova, ulong length, ulong pageSize) => _rig.IoctlError(IommufdRequest.HwptGetDirtyBitmap, new IommuHwptGetDirtyBitmap
    {
        Size = IommuHwptGetDirtyBitmap.Length, HwptId = _table.Id, Iova = iova, RangeLength = length, PageSize = pageSize, DataPointer = IommufdRig.Buffer,
    });
}
