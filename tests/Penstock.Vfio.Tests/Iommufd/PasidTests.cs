using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>DMA that carries a process address space id has page tables of its own.</summary>
public sealed class PasidTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const uint Pasid = 7;

    private readonly IommufdRig _rig = new(new IommuUnitOptions { PasidBits = 8, Reserved = [new IovaRange(0xfee0_0000, 0xfeef_ffff)] });
    private readonly VfioCdevFile _file;
    private readonly IommufdDevice _device;
    private readonly Ioas _ioas;

    public PasidTests()
    {
        _rig.Rig.Device.HasPasids = true;
        _file = _rig.Bind();
        _device = _file.Binding!;
        _ioas = _rig.Context.AllocateIoas();
    }

    public void Dispose()
    {
        _file.Dispose();
        Assert.Null(_rig.Rig.Group.GetDomain(Pasid));
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "H27")]
    public void AttachPasid_TableWithoutFlagOrAddressSpace_EINVAL()
    {
        HwPagetable plain = Table(_ioas, IommuHwptAllocFlags.None);
        HwPagetable flagged = Table(_ioas, IommuHwptAllocFlags.Pasid);
        Assert.Equal(Errno.EINVAL, Attach(plain.Id));
        Assert.Equal(Errno.EINVAL, Attach(_ioas.Id));
        Assert.Equal(Errno.ENOENT, Attach(99));

        // The device's own table must have the flag too.
        _file.Attach(plain.Id);
        Assert.Equal(Errno.EINVAL, Attach(flagged.Id));
        Assert.Null(_rig.Rig.Group.GetDomain(Pasid));
        _file.Attach(flagged.Id);
        Assert.Equal(Errno.None, Attach(flagged.Id));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Attach(plain.Id)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Attach(_ioas.Id)));
    }

    [Fact]
    [Trait("Row", "H28")]
    public void Pasid_AttachedTwiceReplacedAndDetached_AsTheTableSays()
    {
        HwPagetable first = Table(_ioas, IommuHwptAllocFlags.Pasid);
        HwPagetable second = Table(_rig.Context.AllocateIoas(), IommuHwptAllocFlags.Pasid);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _device.ReplacePasid(Pasid, first.Id)));
        _device.DetachPasid(Pasid);
        Assert.Equal(first.Id, _device.AttachPasid(Pasid, first.Id));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _device.AttachPasid(Pasid, first.Id)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(first.Id)));
        Assert.Equal(second.Id, _device.ReplacePasid(Pasid, second.Id));
        Assert.Equal(second.Id, _device.ReplacePasid(Pasid, second.Id));
        Assert.Same(second.Domain, _rig.Rig.Group.GetDomain(Pasid));
        _rig.Context.Destroy(first.Id);
        _device.DetachPasid(Pasid);
        _device.DetachPasid(Pasid);
        Assert.Null(_rig.Rig.Group.GetDomain(Pasid));
        _rig.Context.Destroy(second.Id);
    }

    [Fact]
    public void Dma_WithAndWithoutPasid_GoesThroughItsOwnTable()
    {
        Ioas other = _rig.Context.AllocateIoas();
        _ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, 0x10000);
        other.MapAddress(IommufdRig.Buffer + Page, Page, DmaAccess.ReadWrite, 0x10000);
        _file.Attach(Table(_ioas, IommuHwptAllocFlags.Pasid).Id);
        DmaPort port = _rig.Rig.Port.ForPasid(Pasid);
        Assert.Equal(Errno.EFAULT, port.Write(0x10000, [1]));
        Assert.Equal(Errno.None, Attach(Table(other, IommuHwptAllocFlags.Pasid).Id));
        Assert.Equal(Errno.None, port.Write(0x10000, [2]));
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(0x10000, [3]));
        Assert.Equal(3, _rig.Memory.Span(IommufdRig.Buffer, 1)[0]);
        Assert.Equal(2, _rig.Memory.Span(IommufdRig.Buffer + Page, 1)[0]);
        _rig.Rig.Port.BusMasterEnabled = false;
        Assert.Equal(Errno.EACCES, port.Write(0x10000, [1]));
        _rig.Rig.Port.BusMasterEnabled = true;
    }

    [Fact]
    [Trait("Row", "D15")]
    public void Ioctl_PasidOfADeviceWithout_EOPNOTSUPPOtherwiseAttachedOrMoved()
    {
        HwPagetable first = Table(_ioas, IommuHwptAllocFlags.Pasid);
        HwPagetable second = Table(_ioas, IommuHwptAllocFlags.Pasid);
        _rig.Rig.Device.HasPasids = false;
        Assert.Equal(Errno.EOPNOTSUPP, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 1, first.Id, Pasid));
        Assert.Equal(Errno.EOPNOTSUPP, Ioctl(VfioCdevRequest.DetachIommufdPt, 12, 1, Pasid));
        _rig.Rig.Device.HasPasids = true;
        Assert.Equal(Errno.EINVAL, Ioctl(VfioCdevRequest.AttachIommufdPt, 12, 1, first.Id));
        Assert.Equal(Errno.EINVAL, Ioctl(VfioCdevRequest.DetachIommufdPt, 8, 1));
        Assert.Equal(Errno.EINVAL, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 2, first.Id, Pasid));
        Assert.Equal(Errno.EINVAL, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 1, first.Id, 256));
        Assert.Equal(Errno.None, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 1, first.Id, Pasid));
        Assert.Equal(Errno.None, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 1, second.Id, Pasid));
        Assert.Same(second.Domain, _rig.Rig.Group.GetDomain(Pasid));
        Assert.Equal(Errno.None, Ioctl(VfioCdevRequest.DetachIommufdPt, 12, 1, Pasid));
        Assert.Null(_rig.Rig.Group.GetDomain(Pasid));

        // Closing the file detaches what is left.
        Assert.Equal(Errno.None, Ioctl(VfioCdevRequest.AttachIommufdPt, 16, 1, first.Id, Pasid));
    }

    private HwPagetable Table(Ioas ioas, IommuHwptAllocFlags flags) =>
        _rig.Context.AllocateHwPagetable(new HwPagetableRequest { DeviceId = _device.Id, ParentId = ioas.Id, Flags = flags });

    private Errno Attach(uint id) => ErrnoOf(() => _device.AttachPasid(Pasid, id));

    private Errno Ioctl(VfioCdevRequest request, params uint[] words) => OpenFiles.Ioctl(_file, (uint)request, OpenFiles.Words(words));
}
