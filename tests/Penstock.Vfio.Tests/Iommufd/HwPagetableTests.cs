using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class HwPagetableTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;
    private const ulong Data = IommufdRig.Buffer;

    private readonly MockNesting _nesting = new();
    private readonly IommufdRig _rig;
    private readonly Ioas _ioas;
    private readonly VfioCdevFile _file;

    public HwPagetableTests()
    {
        _rig = new IommufdRig(new IommuUnitOptions { NestedTranslations = [_nesting], HardwareInfoType = 7, HardwareInfo = new byte[] { 1, 2, 3, 4, 5, 6, 7, 8 } });
        _ioas = _rig.Context.AllocateIoas();
        _file = _rig.Bind();
    }

    private uint DeviceId => _file.Binding!.Id;

    public void Dispose()
    {
        _file.Dispose();
        _rig.Context.Dispose();
        Assert.Equal(0, _nesting.Alive);
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "H1")]
    [Trait("Row", "H2")]
    [Trait("Row", "H25")]
    public void Alloc_WrongIdsAndFlags_EachHasItsErrno()
    {
        Assert.Equal(Errno.ENOENT, AllocError(_ioas.Id, _ioas.Id));
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, DeviceId));
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, 99));
        Assert.Equal(Errno.EOPNOTSUPP, AllocError(DeviceId, _ioas.Id, IommuHwptAllocFlags.NestParent | IommuHwptAllocFlags.FaultIdValid));
        Assert.Equal(Errno.EOPNOTSUPP, AllocError(DeviceId, _ioas.Id, (IommuHwptAllocFlags)64));
        Assert.Equal(Errno.ENOENT, AllocError(DeviceId, _ioas.Id, IommuHwptAllocFlags.FaultIdValid));
        Assert.Empty(_ioas.Tables);
    }

    [Fact]
    [Trait("Row", "H3")]
    public void AllocNested_UnsuitableParent_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, Alloc(), 0, MockNesting.Type, 8));
        uint automatic = _file.Attach(_ioas.Id);
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, automatic, 0, MockNesting.Type, 8));
        uint nested = AllocNested(Alloc(IommuHwptAllocFlags.NestParent));
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, nested, 0, MockNesting.Type, 8));
    }

    [Fact]
    [Trait("Row", "H4")]
    public void AllocNested_BadData_EachHasItsErrno()
    {
        uint parent = Alloc(IommuHwptAllocFlags.NestParent);
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, parent, 0, 0, 8));
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, parent, 0, MockNesting.Type, 0));
        Assert.Equal(Errno.EOPNOTSUPP, AllocError(DeviceId, parent, 0, 5, 8));
        Assert.Equal(Errno.EINVAL, AllocError(DeviceId, parent, 0, MockNesting.Type, 7));
        Assert.Equal(Errno.EFAULT, AllocError(DeviceId, parent, 0, MockNesting.Type, 8, pointer: 0));
        Assert.Equal(Errno.EOPNOTSUPP, AllocError(DeviceId, parent, IommuHwptAllocFlags.NestParent, MockNesting.Type, 8));
        Assert.Equal(0, _nesting.Alive);
    }

    [Fact]
    [Trait("Row", "H5")]
    [Trait("Row", "H6")]
    [Trait("Row", "H14")]
    public void Destroy_TablesInUse_EBUSY()
    {
        uint parent = Alloc(IommuHwptAllocFlags.NestParent);
        uint nested = AllocNested(parent);
        Assert.Equal(Errno.EBUSY, DestroyError(parent));
        Assert.Equal(nested, _file.Attach(nested));
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base, [1]));
        Assert.Equal(Errno.EBUSY, DestroyError(nested));
        _file.Attach(parent);
        Assert.Equal(Errno.None, DestroyError(nested));
        Assert.Equal(Errno.EBUSY, DestroyError(parent));
        _file.Detach();
        Assert.Equal(Errno.None, DestroyError(parent));
    }

    [Fact]
    [Trait("Row", "H7")]
    [Trait("Row", "H8")]
    [Trait("Row", "H9")]
    public void Invalidate_BadRequests_EachHasItsErrnoAndCountZero()
    {
        uint parent = Alloc(IommuHwptAllocFlags.NestParent);
        uint nested = AllocNested(parent);
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(parent, MockNesting.InvalidationType, 4, 1));
        Assert.Equal((Errno.ENOENT, 0u), Invalidate(99, MockNesting.InvalidationType, 4, 1));
        Assert.Equal((Errno.None, 0u), Invalidate(nested, MockNesting.InvalidationType, 0, 0));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, 5, 4, 0));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, MockNesting.InvalidationType, 0, 1));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, MockNesting.InvalidationType, 1, 1));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, MockNesting.InvalidationType, (uint)Page + 1, 1));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, MockNesting.InvalidationType, 4, 1, pointer: 0));
        Assert.Equal((Errno.EINVAL, 0u), Invalidate(nested, MockNesting.InvalidationType, 4, (1 << 19) + 1));
        Assert.Empty(_nesting.Invalidated);
    }

    [Fact]
    [Trait("Row", "H10")]
    public void Invalidate_SecondEntryBad_FirstIsDone()
    {
        uint nested = AllocNested(Alloc(IommuHwptAllocFlags.NestParent));
        MemoryMarshal.AsBytes<uint>([3, 99]).CopyTo(_rig.Memory.Span(Data, 8));
        Assert.Equal((Errno.EOPNOTSUPP, 1u), Invalidate(nested, MockNesting.InvalidationType, 4, 2));
        Assert.Equal([3u], _nesting.Invalidated);
        var typed = (NestedHwPagetable)_rig.Context.GetHwPagetable(nested);
        Assert.Equal((2u, Errno.None), typed.Invalidate(MockNesting.InvalidationType, 4, 2, MemoryMarshal.AsBytes<uint>([1, 2])));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(8u)]
    [InlineData(100u)]
    [InlineData(5u)]
    [Trait("Row", "H11")]
    public void HardwareInfo_Lengths_PrefixTailAndRealLength(uint room)
    {
        _rig.Memory.Span(Data, 200).Fill(0xee);
        var call = new IommuHardwareInfo { Size = IommuHardwareInfo.Length, DeviceId = DeviceId, DataLength = room, DataPointer = Data };
        _rig.Ioctl(IommufdRequest.GetHardwareInfo, ref call);
        Assert.Equal((8u, 7u), (call.DataLength, call.DataType));
        Assert.Equal(IommuHardwareCapabilities.DirtyTracking, call.OutCapabilities);
        byte[] expected = [.. Enumerable.Range(0, (int)room).Select(i => (byte)(i < 8 ? i + 1 : 0)), 0xee];
        Assert.Equal(expected, _rig.Memory.Span(Data, expected.Length).ToArray());
        call.Flags = IommuHardwareInfoFlags.InputType;
        call.DataType = 3;
        Assert.Equal(Errno.EOPNOTSUPP, _rig.IoctlError(IommufdRequest.GetHardwareInfo, call));
    }

    [Fact]
    [Trait("Row", "H11")]
    public void HardwareInfo_UnitWithoutAny_TypeNoneAndNoPointerNeeded()
    {
        using var rig = new IommufdRig(new IommuUnitOptions { DirtyTracking = false });
        using VfioCdevFile file = rig.Bind();
        var call = new IommuHardwareInfo { Size = IommuHardwareInfo.Length, DeviceId = file.Binding!.Id, DataType = 0 };
        rig.Ioctl(IommufdRequest.GetHardwareInfo, ref call);
        Assert.Equal((0u, 0u, IommuHardwareCapabilities.None), (call.DataLength, call.DataType, call.OutCapabilities));
        Assert.Equal(Errno.ENOENT, rig.IoctlError(IommufdRequest.GetHardwareInfo, call with { DeviceId = 50 }));
        Assert.Equal(Errno.EFAULT, rig.IoctlError(IommufdRequest.GetHardwareInfo, call with { DataLength = 8 }));
    }

    [Fact]
    [Trait("Row", "H12")]
    [Trait("Row", "H15")]
    public void Attach_TwoDevicesOfAGroup_OneTableOnly()
    {
        using VfioCdevFile sibling = _rig.BindSibling();
        uint table = Alloc();
        uint other = Alloc();
        _file.Attach(table);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => sibling.Attach(other)));
        Assert.Equal(table, sibling.Attach(table));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => sibling.Binding!.Attach(table)));
        _file.Detach();
        Assert.NotNull(_rig.Rig.Group.Domain);
        sibling.Detach();
        Assert.Null(_rig.Rig.Group.Domain);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => sibling.Binding!.Replace(table)));
    }

    [Fact]
    [Trait("Row", "H13")]
    public void Replace_Targets_SwitchTheWholeGroup()
    {
        using VfioCdevFile sibling = _rig.BindSibling();
        uint automatic = _file.Attach(_ioas.Id);
        Assert.Equal(automatic, sibling.Attach(_ioas.Id));
        uint table = Alloc();
        Assert.Equal(table, _file.Attach(table));
        Assert.Equal(table, sibling.Binding!.Table!.Id);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.GetHwPagetable(automatic)));
        Assert.Equal(table, _file.Attach(table));
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _file.Attach(99)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => _file.Attach(DeviceId)));
        Ioas other = _rig.Context.AllocateIoas();
        Assert.NotEqual(table, _file.Attach(other.Id));
        Assert.Equal(Errno.None, DestroyError(table));
    }

    [Fact]
    [Trait("Row", "H16")]
    public void Attach_AreaDoesNotFitTheTable_EADDRINUSEAndNothingChanged()
    {
        Assert.Equal(Errno.EADDRINUSE, AttachError(new IommuUnitOptions(), i => i.MapAddress(Data, 100, DmaAccess.Read, Base)));
        Assert.Equal(Errno.EADDRINUSE, AttachError(new IommuUnitOptions { Aperture = new IovaRange(0, Base - 1) }, i => i.MapAddress(Data, Page, DmaAccess.Read, Base)));
        Assert.Equal(Errno.EADDRINUSE, AttachError(new IommuUnitOptions { Reserved = [new IovaRange(Base, Base)] }, i => i.MapAddress(Data, Page, DmaAccess.Read, Base)));
    }

    [Fact]
    [Trait("Row", "H17")]
    public void Attach_LargerPageThanTheCpus_EINVAL() =>
        Assert.Equal(Errno.EINVAL, AttachError(new IommuUnitOptions { PageSizes = ~0xfffful }, _ => { }));

    [Fact]
    [Trait("Row", "H18")]
    public void DirtyTracking_DeviceCannot_Refused()
    {
        IommuUnit plain = _rig.Rig.Host.AddIommuUnit("plain", new IommuUnitOptions { DirtyTracking = false });
        _rig.Rig.Host.Register(new FakeDevice("plain"), plain.CreateGroup());
        using VfioCdevFile file = _rig.Rig.Host.OpenCdev("plain", Rig.User);
        uint device = file.Bind(_rig.Context);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => file.Attach(Alloc(IommuHwptAllocFlags.DirtyTracking))));
        Assert.Equal(Errno.EOPNOTSUPP, AllocError(device, _ioas.Id, IommuHwptAllocFlags.DirtyTracking));
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => ((PagingHwPagetable)_rig.Context.GetHwPagetable(Alloc())).SetDirtyTracking(true)));
    }

    private Errno AttachError(IommuUnitOptions unit, Action<Ioas> prepare)
    {
        using var rig = new IommufdRig(unit);
        Ioas ioas = rig.Context.AllocateIoas();
        IovaRange[] before = [.. ioas.IovaRanges];
        prepare(ioas);
        using VfioCdevFile file = rig.Bind();
        Errno errno = ErrnoOf(() => file.Attach(ioas.Id));
        Assert.Null(rig.Rig.Group.Domain);
        Assert.Equal(before, ioas.IovaRanges);
        Assert.Empty(ioas.Tables);
        return errno;
    }

    private uint Alloc(IommuHwptAllocFlags flags = IommuHwptAllocFlags.None) =>
        _rig.Context.AllocateHwPagetable(new HwPagetableRequest { DeviceId = DeviceId, ParentId = _ioas.Id, Flags = flags }).Id;

    private uint AllocNested(uint parent)
    {
        ulong iova = Base;
        MemoryMarshal.Write(_rig.Memory.Span(Data, 8), iova);
        IommuHwptAlloc call = Request(DeviceId, parent, 0, MockNesting.Type, 8, Data);
        _rig.Ioctl(IommufdRequest.HwptAlloc, ref call);
        return call.OutHwptId;
    }

    private static IommuHwptAlloc Request(uint device, uint parent, IommuHwptAllocFlags flags, uint type, uint length, ulong pointer) => new()
    {
        Size = IommuHwptAlloc.Length, Flags = flags, DeviceId = device, ParentId = parent, DataType = type, DataLength = length, DataPointer = pointer, FaultId = 98,
    };

    private Errno AllocError(uint device, uint parent, IommuHwptAllocFlags flags = 0, uint type = 0, uint length = 0, ulong pointer = Data) =>
        _rig.IoctlError(IommufdRequest.HwptAlloc, Request(device, parent, flags, type, length, pointer));

    private Errno DestroyError(uint id) => _rig.IoctlError(IommufdRequest.Destroy, new IommuDestroy { Size = 8, Id = id });

    private (Errno Errno, uint Count) Invalidate(uint id, uint type, uint length, uint count, ulong pointer = Data)
    {
        var call = new IommuHwptInvalidate
        {
            Size = IommuHwptInvalidate.Length, HwptId = id, DataPointer = pointer, DataType = type, EntryLength = length, EntryCount = count,
        };
        return (_rig.IoctlError(IommufdRequest.HwptInvalidate, ref call), call.EntryCount);
    }
}
