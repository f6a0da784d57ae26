using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>Memory of one device, mapped for the DMA of another.</summary>
public sealed class DmaBufTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Iova = 0x10_0000;

    private readonly IommufdRig _rig = new();
    private readonly MappableDevice _exporter = new();
    private readonly VfioCdevFile _exported;
    private readonly VfioCdevFile _file;
    private readonly Ioas _ioas;
    private readonly VfioDmaBuf _buffer;

    public DmaBufTests()
    {
        _rig.Rig.Host.Register(_exporter, _rig.Rig.Unit.CreateGroup());
        _exported = _rig.Rig.Host.OpenCdev(_exporter.Name, Rig.User);
        _exported.Bind(_rig.Context);
        (_file, _ioas) = _rig.Attach();
        _buffer = _exported.ExportDmaBuf(0, new VfioRegionArea(Page, 2 * Page));
    }

    public void Dispose()
    {
        _buffer.Dispose();
        _exported.Dispose();
        _file.Dispose();
        _rig.Dispose();
        _exporter.Dispose();
    }

    [Fact]
    [Trait("Row", "A35")]
    public void MapFile_DmaBuf_LengthsAreChecked()
    {
        Assert.Equal(Errno.EINVAL, Map(0, 0));
        Assert.Equal(Errno.EINVAL, Map(2 * Page, Page));
        Assert.Equal(Errno.EINVAL, Map(0, (2 * Page) + 1));
        Assert.Equal(Errno.EINVAL, Map(Page, 2 * Page));
        Assert.Equal(Errno.EOVERFLOW, Map(ulong.MaxValue, Page));
        Assert.Equal(Errno.None, Map(Page, Page));
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Iova, [0x42]));
        Assert.Equal(0x42, _exporter.Memory.Span(2 * Page, 1)[0]);
        Assert.Equal(0ul, _rig.Context.PinnedPages);
        Assert.Equal(Page, _ioas.Unmap(Iova, Page));
        using VfioDmaBuf two = _exported.ExportDmaBuf(0, new VfioRegionArea(0, Page), new VfioRegionArea(2 * Page, Page));
        Assert.Equal(Errno.EOPNOTSUPP, Map(0, Page, two));
    }

    [Fact]
    [Trait("Row", "A36")]
    public void Revoke_MappedDmaBuf_UnmappedThenBack()
    {
        Assert.Equal(Errno.None, Map(0, 2 * Page));
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Iova, [1]));
        _exporter.Revoke();
        Assert.Equal(Errno.EFAULT, _rig.Rig.Port.Write(Iova, [2]));
        Assert.Equal(Errno.ENODEV, Map(0, Page, iova: Iova + (8 * Page)));

        // The mapping itself stays: its place is taken, and a table that comes now does not have the memory either.
        Assert.Equal(Errno.EEXIST, ErrnoOf(() => _ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.Read, Iova)));
        _file.Detach();
        _file.Attach(_ioas.Id);
        Assert.Equal(Errno.EFAULT, _rig.Rig.Port.Write(Iova, [2]));
        Assert.Equal(1, _exporter.Memory.Span(Page, 1)[0]);

        _exporter.Restore();
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Iova, [3]));
        Assert.Equal(3, _exporter.Memory.Span(Page, 1)[0]);
        Assert.Equal(Errno.None, Map(0, Page, iova: Iova + (8 * Page)));
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Iova + (8 * Page) + 1, [4]));
        Assert.Equal(4, _exporter.Memory.Span(Page + 1, 1)[0]);
        Assert.Equal(3 * Page, _ioas.Unmap(0, ulong.MaxValue));
    }

    [Fact]
    public void Close_OfTheDevice_RevokesItForGood()
    {
        Assert.Equal(Errno.None, Map(0, 2 * Page));
        _exported.Dispose();
        Assert.True(_buffer.IsRevoked);
        Assert.Equal(Errno.EFAULT, _rig.Rig.Port.Read(Iova, new byte[1]));
        _exporter.Revoke();
        _exporter.Restore();
        Assert.Equal(Errno.EFAULT, _rig.Rig.Port.Read(Iova, new byte[1]));
        Assert.Equal(Errno.ENODEV, Map(0, Page, iova: Iova + (8 * Page)));
        Assert.Equal(2 * Page, _ioas.Unmap(Iova, 2 * Page));
    }

    [Fact]
    public void Access_ToADmaBuf_EINVAL()
    {
        Assert.Equal(Errno.None, Map(0, 2 * Page));
        using IommufdAccess access = _rig.Context.CreateAccess(new Pinner());
        access.Attach(_ioas.Id);
        Assert.Equal(Errno.EINVAL, access.Pin(Iova, Page, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EINVAL, access.Read(Iova, new byte[1]));
    }

    [Fact]
    public void Export_BadRanges_EachHasItsErrno()
    {
        Assert.Equal(Errno.EINVAL, ExportError());
        Assert.Equal(Errno.EINVAL, ExportError(new VfioRegionArea(0, 0)));
        Assert.Equal(Errno.EINVAL, ExportError(new VfioRegionArea(1, Page)));
        Assert.Equal(Errno.EINVAL, ExportError(new VfioRegionArea(0, MappableDevice.Size + Page)));
        Assert.Equal(Errno.EOVERFLOW, ExportError(new VfioRegionArea(Page, unchecked(0 - Page))));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => _file.ExportDmaBuf(0, new VfioRegionArea(0, Page))));
    }

    private Errno ExportError(params VfioRegionArea[] ranges) => ErrnoOf(() => _exported.ExportDmaBuf(0, ranges));

    private Errno Map(ulong start, ulong length, VfioDmaBuf? buffer = null, ulong iova = Iova) => _rig.IoctlError(
        IommufdRequest.IoasMapFile,
        new IommuIoasMapFile
        {
            Size = IommuIoasMapFile.Length,
            Flags = IommuMapFlags.Readable | IommuMapFlags.Writeable | IommuMapFlags.FixedIova,
            IoasId = _ioas.Id,
            FileDescriptor = _rig.Files.Install(buffer ?? _buffer),
            Start = start,
            MapLength = length,
            Iova = iova,
        });

    private sealed class Pinner : IIommufdAccessUser
    {
        public void Unmap(ulong iova, ulong length)
        {
        }
    }
}
