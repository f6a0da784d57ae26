using Penstock.Interop;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class AccessTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;

    private readonly IommufdRig _rig = new();
    private readonly Ioas _ioas;
    private readonly Pinner _pinner = new();
    private readonly IommufdAccess _access;
    private readonly ProcessMemory _memory;

    public AccessTests()
    {
        _ioas = _rig.Context.AllocateIoas();
        _memory = _rig.Rig.Memory(64 * Page);
        _access = _rig.Context.CreateAccess(_pinner);
        _pinner.Access = _access;
    }

    public void Dispose()
    {
        _access.Dispose();
        _memory.Release();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "E1")]
    [Trait("Row", "E13")]
    public void Pin_TwiceThenUnpin_SamePagesChargedOnce()
    {
        Attach();
        Map(8);
        var first = new PinnedPage[4];
        var second = new PinnedPage[4];
        Assert.Equal(Errno.None, _access.Pin(Base + Page + 5, (4 * Page) - 10, DmaAccess.ReadWrite, first));
        Assert.Equal(Errno.None, _access.Pin(Base + Page, 4 * Page, DmaAccess.Read, second));
        Assert.Equal(first, second);
        Assert.Equal(new PinnedPage(_memory, Page), first[0]);
        Assert.Equal(4ul, _rig.Context.PinnedPages);
        Assert.Equal(4 * Page, _rig.Context.LockedBytes);
        Assert.Equal(8, _rig.Rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(Errno.None, _access.Unpin(Base + Page, 4 * Page));
        Assert.Equal(4ul, _rig.Context.PinnedPages);
        Assert.Equal(Errno.None, _access.Unpin(Base + Page, 4 * Page));
        Assert.Equal(0ul, _rig.Context.PinnedPages);
        Assert.Equal(Errno.EINVAL, _access.Unpin(Base + Page, 4 * Page));
    }

    [Fact]
    [Trait("Row", "E2")]
    public void AttachAndDetachDevice_PinsHeld_PinsStay()
    {
        Attach();
        Map(8);
        Pin(Base, 2);
        using VfioCdevFile file = _rig.Bind();
        file.Attach(_ioas.Id);
        Assert.Equal(8ul, _rig.Context.PinnedPages);
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base + (7 * Page), [3]));
        file.Detach();
        Assert.Equal(2ul, _rig.Context.PinnedPages);
        Assert.Equal(Errno.None, _access.Unpin(Base, 2 * Page));
    }

    [Fact]
    [Trait("Row", "E3")]
    public void Unmap_PinsHeld_UserIsAskedForTheWholeMapping()
    {
        Attach();
        Map(8);
        Pin(Base + Page, 2);
        _pinner.Drop = (Base + Page, 2 * Page);
        Assert.Equal(8 * Page, _ioas.Unmap(Base, 8 * Page));
        Assert.Equal([(Base, 8 * Page)], _pinner.Asked);
        Assert.Equal(0, _rig.Rig.Host.Ledger.Outstanding(ResourceKind.Pin));
    }

    [Fact]
    [Trait("Row", "E4")]
    public void Unmap_PinsAreNotDropped_EDEADLKAndMappingStays()
    {
        Attach();
        Map(8);
        Pin(Base, 1);
        Assert.Equal(Errno.EDEADLK, ErrnoOf(() => _ioas.Unmap(Base, 8 * Page)));
        Assert.Equal(100, _pinner.Asked.Count);
        Assert.Equal(Errno.None, _access.Read(Base, new byte[1]));
        Assert.Equal(Errno.None, _access.Unpin(Base, Page));
    }

    [Fact]
    [Trait("Row", "E5")]
    public void Pin_DuringUnmap_EINVAL()
    {
        Attach();
        Map(8);
        Pin(Base, 1);
        Errno during = Errno.None;
        Errno copy = Errno.None;
        _pinner.OnUnmap = () =>
        {
            during = _access.Pin(Base + Page, Page, DmaAccess.Read, new PinnedPage[1]);
            copy = _access.Read(Base, new byte[1]);
        };
        _pinner.Drop = (Base, Page);
        _ioas.Unmap(Base, 8 * Page);
        Assert.Equal(Errno.EINVAL, during);
        Assert.Equal(Errno.EINVAL, copy);
    }

    [Fact]
    [Trait("Row", "E6")]
    public void ReadAndWrite_AcrossAPageBorder_DataEqual()
    {
        Attach();
        _ioas.Map(_memory, 0, Page, DmaAccess.ReadWrite, Base);
        _ioas.Map(_memory, 8 * Page, Page, DmaAccess.ReadWrite, Base + Page);
        byte[] data = new byte[40];
        byte[] back = new byte[40];
        for (int offset = 0; offset <= 20; offset++)
        {
            for (int length = 1; length <= 40; length++)
            {
                Random.Shared.NextBytes(data);
                ulong iova = Base + Page - 20 + (ulong)offset;
                Assert.Equal(Errno.None, _access.Write(iova, data.AsSpan(0, length)));
                Assert.Equal(Errno.None, _access.Read(iova, back.AsSpan(0, length)));
                Assert.Equal(data.AsSpan(0, length), back.AsSpan(0, length));
                int inFirst = Math.Min(length, 20 - offset);
                Assert.Equal(data.AsSpan(0, inFirst), _memory.Span(Page - 20 + (ulong)offset, inFirst));
                Assert.Equal(data.AsSpan(inFirst, length - inFirst), _memory.Span(8 * Page + (ulong)Math.Max(0, offset - 20), length - inFirst));
            }
        }
    }

    [Fact]
    [Trait("Row", "E7")]
    public void WriteAndPin_ReadOnlyMapping_EPERM()
    {
        Attach();
        Map(2, DmaAccess.Read);
        Assert.Equal(Errno.EPERM, _access.Write(Base, [1]));
        Assert.Equal(Errno.EPERM, _access.Pin(Base, Page, DmaAccess.Write, new PinnedPage[1]));
        Assert.Equal(Errno.None, _access.Read(Base, new byte[1]));
    }

    [Fact]
    [Trait("Row", "E8")]
    public void ReadAndPin_AcrossAHole_ENOENTAndPinsUndone()
    {
        Attach();
        Map(2);
        Assert.Equal(Errno.ENOENT, _access.Read(Base + Page, new byte[2 * (int)Page]));
        Assert.Equal(Errno.ENOENT, _access.Pin(Base + Page, 2 * Page, DmaAccess.Read, new PinnedPage[2]));
        Assert.Equal(0, _rig.Rig.Host.Ledger.Outstanding(ResourceKind.Pin));
        Assert.Equal(2 * Page, _ioas.Unmap(Base, 2 * Page));
        Assert.Empty(_pinner.Asked);
    }

    [Fact]
    [Trait("Row", "E9")]
    public void ReadAndPin_NotAttached_ENOENT()
    {
        Assert.Equal(Errno.ENOENT, _access.Pin(Base, Page, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.ENOENT, _access.Read(Base, new byte[1]));
    }

    [Fact]
    public void Calls_BadArguments_EachHasItsErrno()
    {
        Attach();
        Assert.Equal(Errno.EINVAL, _access.Pin(Base, 0, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EOVERFLOW, _access.Pin(ulong.MaxValue, 2, DmaAccess.Read, new PinnedPage[1]));
        Assert.Equal(Errno.EINVAL, _access.Read(Base, []));
        Assert.Equal(Errno.EOVERFLOW, _access.Read(ulong.MaxValue, new byte[2]));
        using IommufdAccess copier = _rig.Context.CreateAccess(null);
        copier.Attach(_ioas.Id);
        Assert.Equal(Errno.EINVAL, copier.Pin(Base, Page, DmaAccess.Read, new PinnedPage[1]));
    }

    [Fact]
    public void AttachAndReplace_States_EachHasItsErrno()
    {
        Ioas other = _rig.Context.AllocateIoas();
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _access.Replace(other.Id)));
        Attach();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _access.Attach(other.Id)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(_ioas.Id)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(_access.Id)));
        Map(2);
        Pin(Base, 2);
        _pinner.Drop = (Base, 2 * Page);
        _access.Replace(other.Id);
        Assert.Equal([(0ul, ulong.MaxValue)], _pinner.Asked);
        Assert.Same(other, _access.Ioas);
        _rig.Context.Destroy(_ioas.Id);
    }

    [Fact]
    public void Attach_MisalignedMapping_EADDRINUSE()
    {
        _ioas.Map(_memory, 5, 100, DmaAccess.Read);
        Assert.Equal(Errno.EADDRINUSE, ErrnoOf(Attach));
        using IommufdAccess copier = _rig.Context.CreateAccess(null);
        copier.Attach(_ioas.Id);
        Assert.Equal(1ul, _ioas.Alignment);
    }

    [Fact]
    public void Pin_OverTheLimit_ENOMEMAndNothingCharged()
    {
        using var rig = new IommufdRig(caller: Rig.User with { MemlockLimit = 3 * Page });
        Ioas ioas = rig.Context.AllocateIoas();
        using IommufdAccess access = rig.Context.CreateAccess(_pinner);
        access.Attach(ioas.Id);
        ioas.MapAddress(IommufdRig.Buffer, 8 * Page, DmaAccess.ReadWrite, Base);
        Assert.Equal(Errno.ENOMEM, access.Pin(Base, 4 * Page, DmaAccess.Read, new PinnedPage[4]));
        Assert.Equal(Errno.None, access.Pin(Base, 3 * Page, DmaAccess.Read, new PinnedPage[3]));
        Assert.Equal(Errno.None, access.Unpin(Base, 3 * Page));
    }

    private void Attach() => _access.Attach(_ioas.Id);

    private void Map(ulong pages, DmaAccess access = DmaAccess.ReadWrite) => _ioas.Map(_memory, 0, pages * Page, access, Base);

    private void Pin(ulong iova, int pages) =>
        Assert.Equal(Errno.None, _access.Pin(iova, (ulong)pages * Page, DmaAccess.ReadWrite, new PinnedPage[pages]));

    private sealed class Pinner : IIommufdAccessUser
    {
        public IommufdAccess? Access { get; set; }

        public (ulong Iova, ulong Length)? Drop { get; set; }

        public Action? OnUnmap { get; set; }

        public List<(ulong Iova, ulong Length)> Asked { get; } = [];

        public void Unmap(ulong iova, ulong length)
        {
            Asked.Add((iova, length));
            OnUnmap?.Invoke();
            if (Drop is { } drop)
            {
                Drop = null;
                Assert.Equal(Errno.None, Access!.Unpin(drop.Iova, drop.Length));
            }
        }
    }
}
