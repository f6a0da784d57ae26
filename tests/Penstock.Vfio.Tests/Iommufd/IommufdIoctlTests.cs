using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class IommufdIoctlTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;
    private static readonly Caller Root = Rig.User with { Resources = true };

    private readonly IommufdRig _rig = new(new IommuUnitOptions { Reserved = [new IovaRange(0x20_0000, 0x2f_ffff)] }, Root);

    public static TheoryData<IommufdRequest, int, int> Commands => new()
    {
        { IommufdRequest.Destroy, IommuDestroy.MinimumLength, IommuDestroy.Length },
        { IommufdRequest.IoasAlloc, IommuIoasAlloc.MinimumLength, IommuIoasAlloc.Length },
        { IommufdRequest.IoasAllowIovas, IommuIoasAllowIovas.MinimumLength, IommuIoasAllowIovas.Length },
        { IommufdRequest.IoasCopy, IommuIoasCopy.MinimumLength, IommuIoasCopy.Length },
        { IommufdRequest.IoasIovaRanges, IommuIoasIovaRanges.MinimumLength, IommuIoasIovaRanges.Length },
        { IommufdRequest.IoasMap, IommuIoasMap.MinimumLength, IommuIoasMap.Length },
        { IommufdRequest.IoasUnmap, IommuIoasUnmap.MinimumLength, IommuIoasUnmap.Length },
        { IommufdRequest.Option, IommuOption.MinimumLength, IommuOption.Length },
        { IommufdRequest.VfioIoas, IommuVfioIoas.MinimumLength, IommuVfioIoas.Length },
        { IommufdRequest.HwptAlloc, IommuHwptAlloc.MinimumLength, IommuHwptAlloc.Length },
        { IommufdRequest.GetHardwareInfo, IommuHardwareInfo.MinimumLength, IommuHardwareInfo.Length },
        { IommufdRequest.HwptSetDirtyTracking, IommuHwptSetDirtyTracking.MinimumLength, IommuHwptSetDirtyTracking.Length },
        { IommufdRequest.HwptGetDirtyBitmap, IommuHwptGetDirtyBitmap.MinimumLength, IommuHwptGetDirtyBitmap.Length },
        { IommufdRequest.HwptInvalidate, IommuHwptInvalidate.MinimumLength, IommuHwptInvalidate.Length },
        { IommufdRequest.FaultQueueAlloc, IommuFaultAlloc.MinimumLength, IommuFaultAlloc.Length },
        { IommufdRequest.IoasMapFile, IommuIoasMapFile.MinimumLength, IommuIoasMapFile.Length },
    };

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "A1")]
    public void Destroy_IdZeroAndOddCalls_EachHasItsErrno()
    {
        Assert.Equal(Errno.ENOENT, _rig.IoctlError(IommufdRequest.Destroy, new IommuDestroy { Size = 8 }));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => _rig.Context.Ioctl((uint)IommufdRequest.Destroy, [])));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => _rig.Context.Ioctl((uint)IommufdRequest.Destroy, new byte[] { 8, 0, 0, 0, 1 })));
        Assert.Equal(Errno.ENOTTY, ErrnoOf(() => _rig.Context.Ioctl(0x3b7f, new byte[8])));
    }

    [Theory]
    [MemberData(nameof(Commands))]
    [Trait("Row", "A2")]
    public void Command_StructureSizes_TooShortEINVALNonZeroTailE2BIG(IommufdRequest request, int minimum, int full)
    {
        Assert.Equal(Errno.EINVAL, Call(request, minimum - 1, minimum));
        Assert.Equal(Errno.E2BIG, Call(request, full + 1, full + 1, tail: 0xff));
        using var twin = new IommufdRig(caller: Root);
        Errno exact = Call(request, full, full, on: twin);
        Assert.Equal(exact, Call(request, full + 1, full + 1));
    }

    [Fact]
    [Trait("Row", "A3")]
    public void Destroy_LongerWithZeroTail_ENOENT() => Assert.Equal(Errno.ENOENT, Call(IommufdRequest.Destroy, 64, 64));

    [Fact]
    [Trait("Row", "A4")]
    public void RlimitMode_EmptyContext_SetAndGet()
    {
        Assert.Equal(0ul, GetOption(IommuOptionId.RlimitMode, 0));
        Assert.Equal(Errno.None, SetOption(IommuOptionId.RlimitMode, 0, 1));
        Assert.Equal(Errno.EINVAL, SetOption(IommuOptionId.RlimitMode, 0, 2));
        Assert.Equal(1ul, GetOption(IommuOptionId.RlimitMode, 0));
    }

    [Fact]
    [Trait("Row", "A5")]
    public void RlimitMode_ObjectsOrNoPrivilege_Refused()
    {
        Alloc();
        Assert.Equal(Errno.EBUSY, SetOption(IommuOptionId.RlimitMode, 0, 1));
        Assert.Equal(Errno.EOPNOTSUPP, SetOption(IommuOptionId.RlimitMode, 5, 1));
        using IommufdContext plain = _rig.Rig.Host.OpenIommufd(Rig.User);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => plain.AccountsByProcess = true));
    }

    [Fact]
    [Trait("Row", "A6")]
    [Trait("Row", "A30")]
    public void HugePages_ThroughOption_EachHasItsErrno()
    {
        Assert.Equal(Errno.ENOENT, SetOption(IommuOptionId.HugePages, 0, 1));
        uint ioas = Alloc();
        Assert.Equal(1ul, GetOption(IommuOptionId.HugePages, ioas));
        Assert.Equal(Errno.None, SetOption(IommuOptionId.HugePages, ioas, 0));
        Assert.Equal(0ul, GetOption(IommuOptionId.HugePages, ioas));
        Assert.Equal(Errno.EINVAL, SetOption(IommuOptionId.HugePages, ioas, 2));
        Assert.Equal(Errno.None, SetOption(IommuOptionId.HugePages, ioas, 1));
        Assert.Equal(Errno.EOPNOTSUPP, SetOption((IommuOptionId)9, ioas, 1));
        Assert.Equal(Errno.EOPNOTSUPP, _rig.IoctlError(
            IommufdRequest.Option,
            new IommuOption { Size = IommuOption.Length, OptionId = IommuOptionId.HugePages, Operation = (IommuOptionOperation)7, ObjectId = ioas }));
    }

    [Fact]
    [Trait("Row", "A7")]
    public void Destroy_IoasWithDevice_EBUSY()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        var call = new IommuDestroy { Size = 8, Id = ioas.Id };
        Assert.Equal(Errno.EBUSY, _rig.IoctlError(IommufdRequest.Destroy, call));
        Assert.Equal(Errno.EBUSY, _rig.IoctlError(IommufdRequest.Destroy, call with { Id = file.Binding!.Id }));
        file.Dispose();
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.Destroy, call));
    }

    [Fact]
    [Trait("Row", "A16")]
    [Trait("Row", "A25")]
    public void Map_AutomaticWithDevice_AvoidsReservedAndNeedsWholePages()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        var reserved = new IovaRange(0x20_0000, 0x2f_ffff);
        var seen = new List<ulong>();
        for (int i = 0; i < 60; i++)
        {
            var call = Mapping(ioas.Id, IommuMapFlags.Readable, 16 * Page, 0);
            _rig.Ioctl(IommufdRequest.IoasMap, ref call);
            Assert.False(reserved.Overlaps(new IovaRange(call.Iova, call.Iova + (16 * Page) - 1)));
            seen.Add(call.Iova);
        }

        Assert.Contains(seen, i => i > reserved.Last);
        Assert.Equal(Errno.EINVAL, _rig.IoctlError(IommufdRequest.IoasMap, Mapping(ioas.Id, IommuMapFlags.Readable, Page + 1, 0)));
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A18")]
    [Trait("Row", "A20")]
    public void AllowIovas_ReservedInside_EADDRINUSEAndOldListStays()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        Assert.Equal(Errno.None, Allow(ioas.Id, 0, new IovaRange(Base, Base + 0xffff)));
        Assert.Equal(Errno.EADDRINUSE, Allow(ioas.Id, 0, new IovaRange(0x10_0000, 0x2f_ffff)));
        Assert.Equal(Errno.EOPNOTSUPP, Allow(ioas.Id, 1));
        Assert.Equal(Errno.EINVAL, Allow(ioas.Id, 0, new IovaRange(5, 5)));
        var call = Mapping(ioas.Id, IommuMapFlags.Readable, Page, 0);
        _rig.Ioctl(IommufdRequest.IoasMap, ref call);
        Assert.Equal(Base, call.Iova);
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A19")]
    public void Attach_ReservedInsideAllowed_EADDRINUSE()
    {
        uint ioas = Alloc();
        Allow(ioas, 0, new IovaRange(0x10_0000, 0x2f_ffff));
        using VfioCdevFile file = _rig.Bind();
        Assert.Equal(Errno.EADDRINUSE, ErrnoOf(() => file.Attach(ioas)));
        Allow(ioas, 0);
        file.Attach(ioas);
    }

    [Fact]
    [Trait("Row", "A21")]
    public void Map_NoHoleLeft_ENOSPC()
    {
        using var rig = new IommufdRig(new IommuUnitOptions { Reserved = [new IovaRange(0x4000, ulong.MaxValue - 0x1_0000)] });
        (VfioCdevFile file, Ioas ioas) = rig.Attach();
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => ioas.MapAddress(IommufdRig.Buffer, 32 * Page, DmaAccess.Read)));
        Assert.NotEqual(0ul, ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.Read));
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A22")]
    [Trait("Row", "A23")]
    public void IovaRanges_SmallAndLargeArrays_FillWhatFits()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        var call = new IommuIoasIovaRanges { Size = IommuIoasIovaRanges.Length, IoasId = ioas.Id, RangeCount = 1, RangesPointer = IommufdRig.Buffer };
        Assert.Equal(Errno.EMSGSIZE, _rig.IoctlError(IommufdRequest.IoasIovaRanges, ref call));
        Assert.Equal((2u, Page), (call.RangeCount, call.OutAlignment));
        ReadOnlySpan<ulong> written = MemoryMarshal.Cast<byte, ulong>(_rig.Memory.Span(IommufdRig.Buffer, 32));
        Assert.Equal([0, 0x1f_ffff, 0, 0], written.ToArray());
        _rig.Ioctl(IommufdRequest.IoasIovaRanges, ref call);
        Assert.Equal([0, 0x1f_ffff, 0x30_0000, ulong.MaxValue], written.ToArray());
        call.RangesPointer = 8;
        Assert.Equal(Errno.EFAULT, _rig.IoctlError(IommufdRequest.IoasIovaRanges, call));
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A24")]
    [Trait("Row", "A26")]
    public void Map_BadRequests_EachHasItsErrno()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        const IommuMapFlags Fixed = IommuMapFlags.FixedIova | IommuMapFlags.Readable;
        Assert.Equal(Errno.EOPNOTSUPP, MapError(ioas.Id, (IommuMapFlags)8, Page, Base));
        Assert.Equal(Errno.EINVAL, MapError(ioas.Id, IommuMapFlags.FixedIova, Page, Base));
        Assert.Equal(Errno.EINVAL, MapError(ioas.Id, Fixed, 0, Base));
        Assert.Equal(Errno.EOVERFLOW, MapError(ioas.Id, Fixed, ulong.MaxValue, Base));
        Assert.Equal(Errno.ENOENT, MapError(99, Fixed, Page, Base));
        Assert.Equal(Errno.ENOENT, MapError(file.Binding!.Id, Fixed, Page, Base));
        Assert.Equal(Errno.EINVAL, MapError(ioas.Id, Fixed, Page, 0x1f_f000 + Page));
        Assert.Equal(Errno.EINVAL, MapError(ioas.Id, Fixed, Page, Base + 1));
        Assert.Equal(Errno.EOVERFLOW, MapError(ioas.Id, Fixed, 2 * Page, ulong.MaxValue - Page + 1));
        Assert.Equal(Errno.EFAULT, MapError(ioas.Id, Fixed, 65 * Page, Base));
        Assert.Equal(0ul, _rig.Context.PinnedPages);
        file.Dispose();
    }

    [Fact]
    public void Map_ReadOnlyUserMemory_EFAULTOnlyForWriting()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        _rig.Memory.ReadOnlyFrom = IommufdRig.Buffer;
        Assert.Equal(Errno.EFAULT, MapError(ioas.Id, IommuMapFlags.FixedIova | IommuMapFlags.Writeable, Page, Base));
        Assert.Equal(Errno.None, MapError(ioas.Id, IommuMapFlags.FixedIova | IommuMapFlags.Readable, Page, Base));
        file.Dispose();
    }

    [Fact]
    public void CopyAndUnmap_Structures_AnswerInPlace()
    {
        (VfioCdevFile file, Ioas ioas) = _rig.Attach();
        Assert.Equal(Errno.None, MapError(ioas.Id, IommuMapFlags.FixedIova | IommuMapFlags.Readable | IommuMapFlags.Writeable, 4 * Page, Base));
        var copy = new IommuIoasCopy
        {
            Size = IommuIoasCopy.Length, Flags = IommuMapFlags.Readable, SourceIoasId = ioas.Id, DestinationIoasId = ioas.Id, MapLength = 2 * Page, SourceIova = Base,
        };
        Assert.Equal(Errno.ENOENT, _rig.IoctlError(IommufdRequest.IoasCopy, copy with { DestinationIoasId = 77 }));
        Assert.Equal(Errno.EOVERFLOW, _rig.IoctlError(IommufdRequest.IoasCopy, copy with { SourceIova = ulong.MaxValue }));
        _rig.Ioctl(IommufdRequest.IoasCopy, ref copy);
        Assert.NotEqual(0ul, copy.DestinationIova);
        var unmap = new IommuIoasUnmap { Size = IommuIoasUnmap.Length, IoasId = ioas.Id, UnmapLength = ulong.MaxValue };
        Assert.Equal(Errno.EOVERFLOW, _rig.IoctlError(IommufdRequest.IoasUnmap, unmap with { Iova = 1 }));
        _rig.Ioctl(IommufdRequest.IoasUnmap, ref unmap);
        Assert.Equal(6 * Page, unmap.UnmapLength);
        file.Dispose();
    }

    [Fact]
    [Trait("Row", "A35")]
    public void MapFile_Descriptors_EachHasItsErrno()
    {
        uint ioas = Alloc();
        var call = new IommuIoasMapFile { Size = IommuIoasMapFile.Length, Flags = IommuMapFlags.Readable, IoasId = ioas, FileDescriptor = 0xffff, MapLength = Page };
        Assert.Equal(Errno.EBADF, _rig.IoctlError(IommufdRequest.IoasMapFile, call));
        using (MemoryFile file = MemoryFile.Create("test", 2 * Page))
        {
            call.FileDescriptor = file.Descriptor.Value;
            Assert.Equal(Errno.EINVAL, _rig.IoctlError(IommufdRequest.IoasMapFile, call with { MapLength = 0 }));
            Assert.Equal(Errno.EOVERFLOW, _rig.IoctlError(IommufdRequest.IoasMapFile, call with { Start = ulong.MaxValue }));
            Assert.Equal(Errno.EINVAL, _rig.IoctlError(IommufdRequest.IoasMapFile, call with { Start = Page, MapLength = 2 * Page }));
            Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.IoasMapFile, call));
        }

        _rig.Context.Destroy(ioas);
        _rig.Rig.Host.Mappings.Trim();
    }

    [Fact]
    public void DefaultAddressSpace_OwnMemory_ReachedOrEFAULT()
    {
        using var rig = new Rig();
        using IommufdContext context = rig.Host.OpenIommufd(Rig.User);
        ProcessMemory memory = rig.Memory(4 * Page);
        var space = new ProcessAddressSpace();
        ulong address = (ulong)memory.DirectAddress;
        Assert.Equal(Errno.None, space.Write(address, [1, 2]));
        Assert.Equal(2, memory.Span(1, 1)[0]);
        Assert.Equal(Errno.EFAULT, space.Read(8, new byte[4]));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => space.Resolve(8, Page, DmaAccess.Read)));
        UserMemory part = space.Resolve(address, 4 * Page, DmaAccess.ReadWrite);
        Assert.Equal(memory.DirectAddress, part.DirectAddress);
        part.Release();
        memory.Release();
    }

    private Errno Call(IommufdRequest request, int size, int bytes, byte tail = 0, IommufdRig? on = null)
    {
        byte[] argument = new byte[bytes];
        MemoryMarshal.Write(argument, (uint)size);
        if (tail != 0)
        {
            argument[^1] = tail;
        }

        return ErrnoOf(() => (on ?? _rig).Context.Ioctl((uint)request, argument));
    }

    private uint Alloc()
    {
        var call = new IommuIoasAlloc { Size = IommuIoasAlloc.Length };
        _rig.Ioctl(IommufdRequest.IoasAlloc, ref call);
        return call.OutIoasId;
    }

    private Errno SetOption(IommuOptionId option, uint id, ulong value) => _rig.IoctlError(
        IommufdRequest.Option,
        new IommuOption { Size = IommuOption.Length, OptionId = option, Operation = IommuOptionOperation.Set, ObjectId = id, Value = value });

    private ulong GetOption(IommuOptionId option, uint id)
    {
        var call = new IommuOption { Size = IommuOption.Length, OptionId = option, Operation = IommuOptionOperation.Get, ObjectId = id };
        _rig.Ioctl(IommufdRequest.Option, ref call);
        return call.Value;
    }

    private static IommuIoasMap Mapping(uint ioas, IommuMapFlags flags, ulong length, ulong iova) =>
        new() { Size = IommuIoasMap.Length, Flags = flags, IoasId = ioas, UserAddress = IommufdRig.Buffer, MapLength = length, Iova = iova };

    private Errno MapError(uint ioas, IommuMapFlags flags, ulong length, ulong iova) =>
        _rig.IoctlError(IommufdRequest.IoasMap, Mapping(ioas, flags, length, iova));

    private Errno Allow(uint ioas, uint reserved, params IovaRange[] ranges)
    {
        MemoryMarshal.AsBytes(ranges.AsSpan()).CopyTo(_rig.Memory.Span(IommufdRig.Buffer, 64));
        return _rig.IoctlError(IommufdRequest.IoasAllowIovas, new IommuIoasAllowIovas
        {
            Size = IommuIoasAllowIovas.Length, IoasId = ioas, RangeCount = (uint)ranges.Length, Reserved = reserved, RangesPointer = IommufdRig.Buffer,
        });
    }
}
