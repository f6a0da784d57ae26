using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;

namespace Penstock.Vfio.Tests.Iommufd;

/// <summary>Emulated devices on an iommufd: an access stands where a real device has a device object.</summary>
public sealed class EmulatedCdevTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private static readonly (ulong, ulong) Everything = (0, ulong.MaxValue);

    private readonly IommufdRig _rig = new();
    private readonly EmulatedDevice _device = new("mediated");
    private readonly VfioCdevFile _file;

    public EmulatedCdevTests()
    {
        _rig.Rig.Host.RegisterEmulated(_device);
        _file = _rig.Rig.Host.OpenCdev(_device.Name, Rig.User, files: _rig.Files);
    }

    public void Dispose()
    {
        _file.Dispose();
        _rig.Rig.Host.Unregister(_device);
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "D19")]
    public void BindAttachReplaceDetach_ByIoctl_AccessIsMadeMovedAndRemoved()
    {
        Ioas a = _rig.Context.AllocateIoas();
        Ioas b = _rig.Context.AllocateIoas();
        int fd = _rig.Files.Install(_rig.Context);
        uint[] bind = [24, 0, (uint)fd, 0, 0, 0];
        _ = _file.Ioctl((uint)VfioCdevRequest.BindIommufd, MemoryMarshal.AsBytes(bind.AsSpan()));
        IommufdAccess access = _file.Access!;
        Assert.Equal(access.Id, bind[3]);
        Assert.Null(_file.Binding);
        Assert.Equal(1, _device.Opens);
        Assert.Null(access.Ioas);

        Assert.Equal(a.Id, Attach(a.Id));
        Assert.Same(a, access.Ioas);
        Assert.Empty(_device.Unmaps);

        Assert.Equal(b.Id, Attach(b.Id));
        Assert.Same(b, access.Ioas);
        Assert.Equal([Everything], _device.Unmaps);

        Detach();
        Assert.Null(access.Ioas);
        Assert.Equal([Everything, Everything], _device.Unmaps);
        Detach();
        Assert.Equal(2, _device.Unmaps.Count);

        Attach(a.Id);
        _file.Dispose();
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.Destroy(bind[3])));
        _rig.Context.Destroy(a.Id);
        _rig.Context.Destroy(b.Id);
    }

    [Fact]
    public void Attach_SomethingElseThanAnAddressSpace_ENOENTAndNothingMoves()
    {
        Ioas ioas = _rig.Context.AllocateIoas();
        (VfioCdevFile real, _) = _rig.Attach();
        uint table = real.Binding!.Table!.Id;
        _file.Bind(_rig.Context);
        _file.Attach(ioas.Id);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _file.Attach(table)));
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _file.Attach(uint.MaxValue)));
        Assert.Same(ioas, _file.Access!.Ioas);
        Assert.Empty(_device.Unmaps);
        Assert.Equal(Errno.ENOENT, ErrnoOf(() => _rig.Context.AllocateHwPagetable(new HwPagetableRequest { DeviceId = _file.Access!.Id, ParentId = ioas.Id })));
        real.Dispose();
    }

    [Fact]
    public void Replace_PinsHeld_DriverDropsThemWhenAsked()
    {
        Ioas a = _rig.Context.AllocateIoas();
        Ioas b = _rig.Context.AllocateIoas();
        a.MapAddress(IommufdRig.Buffer, 4 * Page, DmaAccess.ReadWrite, 0);
        _file.Bind(_rig.Context);
        _file.Attach(a.Id);
        IommufdAccess access = _file.Access!;
        Assert.Equal(Errno.None, access.Pin(Page, 2 * Page, DmaAccess.ReadWrite, new PinnedPage[2]));
        _device.OnUnmap = (_, _) => Assert.Equal(Errno.None, access.Unpin(Page, 2 * Page));
        _file.Attach(b.Id);
        Assert.Equal(0ul, _rig.Context.PinnedPages);
        _device.OnUnmap = null;
        a.Unmap(0, ulong.MaxValue);
    }

    [Fact]
    public async Task DmaPort_BoundAndAttached_CopiesThroughTheAccess()
    {
        using var strand = new Strand("emulated", _rig.Rig.Host.Ledger);
        var port = new DmaPort(_device, strand) { BusMasterEnabled = true };
        byte[] data = [1, 2, 3, 4];
        byte[] back = new byte[4];
        Ioas ioas = _rig.Context.AllocateIoas();
        ioas.MapAddress(IommufdRig.Buffer, Page, DmaAccess.ReadWrite, 0);
        ioas.MapAddress(IommufdRig.Buffer + (2 * Page), Page, DmaAccess.Read, Page);

        _file.Bind(_rig.Context);
        Assert.Equal(Errno.EFAULT, port.Write(0, data));
        _file.Attach(ioas.Id);
        Assert.Equal(Errno.None, port.Write(0xffc, data));
        Assert.Equal(Errno.None, port.Read(0xffc, back));
        Assert.Equal(data, back);
        Assert.Equal(data, _rig.Memory.Span(IommufdRig.Buffer + 0xffc, 4).ToArray());
        Assert.Equal(Errno.None, await port.WriteAsync(0x10, data));
        Assert.Equal(Errno.None, await port.ReadAsync(0xffe, back));
        Assert.Equal([3, 4, 0, 0], back);
        Assert.Equal(Errno.EPERM, port.Write(0xffe, data));
        Assert.Equal(Errno.EFAULT, port.Read(2 * Page, back));
        Assert.Equal(Errno.EFAULT, port.Read(ulong.MaxValue, back));
        Assert.Equal(Errno.None, port.Read(0, []));

        _file.Detach();
        Assert.Equal(Errno.EFAULT, port.Read(0, back));
    }

    [Fact]
    public void DmaPort_MemoryBehindMessages_OnlyOutsideRegisterCalls()
    {
        using var strand = new Strand("emulated", _rig.Rig.Host.Ledger);
        var port = new DmaPort(_device, strand) { BusMasterEnabled = true };
        var channel = new FakeChannel(0, (int)Page);
        var memory = new MessageMemory(channel, 0, Page);
        Ioas ioas = _rig.Context.AllocateIoas();
        ioas.Map(memory, 0, Page, DmaAccess.ReadWrite, 0);
        memory.Release();
        _file.Bind(_rig.Context);
        _file.Attach(ioas.Id);
        using (strand.EnterRegisterCall())
        {
            Assert.Equal(Errno.EDEADLK, port.Write(0, [1]));
        }

        Assert.Equal(Errno.None, port.Write(0, [1]));
        Assert.Equal(1, channel.Bytes[0]);
    }

    [Fact]
    public void OpenDevice_ThroughTheGroupWithAnIommufd_AttachesItsAccessToTheCompatIoas()
    {
        using VfioGroup group = _rig.Rig.Host.OpenGroup(_device.Group!.Number, Rig.User);
        group.SetContainer(_rig.Context);
        using (group.OpenDevice(_device.Name))
        {
            Assert.Same(_rig.Context.CompatIoas, _device.Group!.Access!.Ioas);
        }

        Assert.Null(_device.Group!.Access);
        Assert.Equal([Everything], _device.Unmaps);
    }

    private uint Attach(uint id)
    {
        uint[] call = [12, 0, id];
        Assert.Equal(0, _file.Ioctl((uint)VfioCdevRequest.AttachIommufdPt, MemoryMarshal.AsBytes(call.AsSpan())));
        return call[2];
    }

    private void Detach()
    {
        uint[] call = [8, 0];
        Assert.Equal(0, _file.Ioctl((uint)VfioCdevRequest.DetachIommufdPt, MemoryMarshal.AsBytes(call.AsSpan())));
    }
}
