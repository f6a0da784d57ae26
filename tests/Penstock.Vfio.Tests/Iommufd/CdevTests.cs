using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class CdevTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;

    private readonly IommufdRig _rig = new(new IommuUnitOptions { Reserved = [new IovaRange(0xfee0_0000, 0xfeef_ffff)] });
    private readonly VfioCdevFile _file;

    public CdevTests() => _file = Open();

    public void Dispose()
    {
        _file.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "D1")]
    public void Bind_Fresh_DeviceIsOpenAndAnswers()
    {
        Assert.NotEqual(0u, _file.Bind(_rig.Context));
        Assert.Equal(1, _rig.Rig.Device.Opens);
        Assert.Equal(1, _file.GetInfo().RegionCount);
    }

    [Fact]
    [Trait("Row", "D2")]
    public void Calls_BeforeBind_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.GetInfo()));
        Assert.Equal(Errno.EINVAL, _file.Read(0, 0, new byte[4], out _));
        Assert.Equal(Errno.EINVAL, _file.Write(0, 0, new byte[4], out _));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Attach(1)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(_file.Detach));
    }

    [Fact]
    [Trait("Row", "D3")]
    [Trait("Row", "D4")]
    public void Bind_BadDescriptor_EachHasItsErrno()
    {
        Assert.Equal(Errno.EINVAL, BindError(-2));
        Assert.Equal(Errno.EBADF, BindError(0xfff_fff));
        Assert.Equal(Errno.EBADFD, BindError(_rig.Files.Install(new object())));
        using MemoryFile other = MemoryFile.Create("test", Page);
        Assert.Equal(Errno.EBADFD, BindError(other.Descriptor.Value));
    }

    [Fact]
    [Trait("Row", "D5")]
    [Trait("Row", "D6")]
    public void Bind_Twice_EINVAL()
    {
        _file.Bind(_rig.Context);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Bind(_rig.Context)));
        using VfioCdevFile second = Open();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => second.Bind(_rig.Context)));
        second.Dispose();
        Assert.Equal(0, _rig.Rig.Device.Closes);
    }

    [Fact]
    [Trait("Row", "D7")]
    public void Bind_GroupOpen_EBUSY()
    {
        VfioGroup group = _rig.Rig.OpenGroup();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _file.Bind(_rig.Context)));
        group.Dispose();
        _file.Bind(_rig.Context);
    }

    [Fact]
    [Trait("Row", "G2")]
    [Trait("Row", "D14")]
    public void OpenGroup_DeviceBound_EBUSYUntilClosed()
    {
        Ioas ioas = _rig.Context.AllocateIoas();
        _file.Bind(_rig.Context);
        uint table = _file.Attach(ioas.Id);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Rig.OpenGroup()));
        _file.Dispose();
        Assert.Equal(1, _rig.Rig.Device.Closes);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.GetHwPagetable(table)));
        Assert.False(_rig.Rig.Group.IsClaimed);
        _rig.Rig.OpenGroup().Dispose();
    }

    [Fact]
    [Trait("Row", "D9")]
    public void Bind_SizesAndFlags_EachHasItsErrno()
    {
        int fd = _rig.Files.Install(_rig.Context);
        Assert.Equal(Errno.EINVAL, IoctlError(VfioCdevRequest.BindIommufd, [12, 0, (uint)fd, 0, 0, 0]));
        Assert.Equal(Errno.EINVAL, IoctlError(VfioCdevRequest.BindIommufd, [24, 2, (uint)fd, 0, 0, 0]));
        Assert.Equal(Errno.E2BIG, IoctlError(VfioCdevRequest.BindIommufd, [32, 0, (uint)fd, 0, 0, 0, 0, 1]));
        Assert.Equal(Errno.EFAULT, IoctlError(VfioCdevRequest.BindIommufd, []));
        uint[] call = [32, 0, (uint)fd, 0, 0, 0, 0, 0];
        Assert.Equal(Errno.None, IoctlError(VfioCdevRequest.BindIommufd, call));
        Assert.Equal(_file.Binding!.Id, call[3]);
    }

    [Fact]
    [Trait("Row", "D10")]
    [Trait("Row", "D11")]
    [Trait("Row", "D12")]
    public void AttachAndDetach_Ioas_AnswersATable()
    {
        Ioas ioas = _rig.Context.AllocateIoas();
        _file.Bind(_rig.Context);
        _file.Detach();
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _file.Attach(uint.MaxValue)));
        uint[] call = [12, 0, ioas.Id];
        Assert.Equal(Errno.None, IoctlError(VfioCdevRequest.AttachIommufdPt, call));
        Assert.True(Assert.IsType<PagingHwPagetable>(_rig.Context.GetHwPagetable(call[2])).IsAutomatic);
        Assert.Equal(Errno.None, IoctlError(VfioCdevRequest.DetachIommufdPt, [8, 0]));
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.GetHwPagetable(call[2])));
        Assert.Null(_rig.Rig.Group.Domain);
    }

    [Fact]
    [Trait("Row", "D13")]
    public void Attach_Elsewhere_ReplacesAndDropsTheAutomaticTable()
    {
        using Held memory = new(_rig.Rig.Memory(2 * Page));
        Ioas a = _rig.Context.AllocateIoas();
        Ioas b = _rig.Context.AllocateIoas();
        a.Map(memory.Value, 0, Page, DmaAccess.ReadWrite, 0x10000);
        b.Map(memory.Value, Page, Page, DmaAccess.ReadWrite, 0x10000);
        memory.Value.Span(Page, 1)[0] = 9;
        _file.Bind(_rig.Context);
        uint first = _file.Attach(a.Id);
        uint second = _file.Attach(b.Id);
        Assert.NotEqual(first, second);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.GetHwPagetable(first)));
        byte[] seen = new byte[1];
        Assert.Equal(Errno.None, _rig.Rig.Port.Read(0x10000, seen));
        Assert.Equal(9, seen[0]);
        Assert.Equal([IovaRange.All], a.IovaRanges);
        Assert.Equal(2, b.IovaRanges.Count);
        _rig.Context.Destroy(a.Id);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Context.Destroy(b.Id)));
    }

    [Fact]
    [Trait("Row", "D15")]
    public void AttachAndDetach_Pasid_EOPNOTSUPP()
    {
        _file.Bind(_rig.Context);
        Assert.Equal(Errno.EOPNOTSUPP, IoctlError(VfioCdevRequest.AttachIommufdPt, [16, 1, 1, 5]));
        Assert.Equal(Errno.EOPNOTSUPP, IoctlError(VfioCdevRequest.DetachIommufdPt, [12, 1, 5]));
        Assert.Equal(Errno.EINVAL, IoctlError(VfioCdevRequest.AttachIommufdPt, [12, 2, 1]));
        Assert.Equal(Errno.EINVAL, IoctlError(VfioCdevRequest.AttachIommufdPt, [8, 0, 1]));
    }

    [Fact]
    [Trait("Row", "D16")]
    public void Bind_AnswerCannotBeWritten_EFAULTAndNothingIsLeft()
    {
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => _file.Bind(
            _ => _rig.Context, _ => throw new VfioException(Errno.EFAULT, "answering", "the test wants it"))));
        Assert.False(_rig.Rig.Device.IsOpen);
        Assert.False(_rig.Rig.Group.IsClaimed);
        _rig.Rig.OpenGroup().Dispose();
        _file.Bind(_rig.Context);
    }

    [Fact]
    [Trait("Row", "D17")]
    public void Unregister_DeviceBound_AsksUntilItIsClosed()
    {
        _file.Bind(_rig.Context);
        _rig.Rig.Device.OnRequest = _ => ThreadPool.QueueUserWorkItem(_ => _file.Dispose());
        _rig.Rig.Host.Unregister(_rig.Rig.Device);
        Assert.Equal([0u], _rig.Rig.Device.Requests);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Open()));
    }

    [Fact]
    [Trait("Row", "D18")]
    public void Bind_DriverRefuses_ItsErrorAndNothingIsLeft()
    {
        var machine = new FakeMachine();
        _file.SetHypervisor(machine);
        _rig.Rig.Device.OpenError = Errno.EIO;
        Assert.Equal(Errno.EIO, ErrnoOf(() => _file.Bind(_rig.Context)));
        Assert.Equal((1, null), (machine.References, _rig.Rig.Device.Hypervisor));
        Assert.Equal(0, _rig.Context.ObjectCount);
        Assert.False(_rig.Rig.Group.IsClaimed);
        _rig.Rig.OpenGroup().Dispose();
        _rig.Rig.Device.OpenError = Errno.None;
        Assert.Equal(1u, _file.Bind(_rig.Context));
    }

    [Fact]
    [Trait("Row", "H29")]
    public void Bind_UnsafeInterruptsOrForeignOwner_EPERM()
    {
        _rig.Rig.Group.BindForeignDriver();
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _file.Bind(_rig.Context)));
        _rig.Rig.Group.UnbindForeignDriver();
        using IommufdContext other = _rig.Rig.Host.OpenIommufd(Rig.User);
        using VfioCdevFile sibling = _rig.BindSibling();
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _file.Bind(other)));
        using var msi = new IommufdRig(new IommuUnitOptions { IsolatedMsi = false });
        Assert.Equal(Errno.EPERM, ErrnoOf(() => msi.Bind()));
    }

    [Fact]
    public void CloseContext_DeviceBound_LivesUntilTheDeviceGoes()
    {
        Ioas ioas = _rig.Context.AllocateIoas();
        _file.Bind(_rig.Context);
        _file.Attach(ioas.Id);
        _rig.Context.Dispose();
        Assert.NotNull(_rig.Rig.Group.Domain);
        _file.Dispose();
        Assert.Null(_rig.Rig.Group.Domain);
        Assert.True(ioas.IsDestroyed);
        Assert.Equal(Errno.EBADF, ErrnoOf(() => _rig.Context.AllocateIoas()));
    }

    private VfioCdevFile Open() => _rig.Rig.Host.OpenCdev(_rig.Rig.Device.Name, Rig.User, files: _rig.Files);

    private Errno BindError(int descriptor) => IoctlError(VfioCdevRequest.BindIommufd, [24, 0, (uint)descriptor, 0, 0, 0]);

    private Errno IoctlError(VfioCdevRequest request, uint[] call) =>
        ErrnoOf(() => _file.Ioctl((uint)request, System.Runtime.InteropServices.MemoryMarshal.AsBytes(call.AsSpan())));

    private sealed class Held(ProcessMemory value) : IDisposable
    {
        public ProcessMemory Value => value;

        public void Dispose() => value.Release();
    }
}
