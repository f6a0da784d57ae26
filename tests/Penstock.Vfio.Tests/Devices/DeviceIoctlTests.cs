using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Device files of both paths through the kernel's numbers and structures.</summary>
public sealed class DeviceIoctlTests : IDisposable
{
    private readonly ScriptedDevice _device = new();
    private readonly OpenFiles _files;

    public DeviceIoctlTests() => _files = new OpenFiles(_device);

    public void Dispose()
    {
        _files.Dispose();
        Assert.Equal(0, _device.Awake);
    }

    [Fact]
    [Trait("Row", "D1")]
    public void BindThenGetInfo_Cdev_BothSucceed()
    {
        VfioCdevFile file = _files.OpenCdev();
        Assert.Equal(Errno.None, Bind(file));
        byte[] info = OpenFiles.Words(24, ~0u, ~0u, ~0u, ~0u, 0x5a5a5a5a);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetInfo, info));
        Assert.Equal(OpenFiles.Words(24, (uint)VfioDeviceFlags.Reset, 2, 1, 0, 0x5a5a5a5a), info);
    }

    [Fact]
    [Trait("Row", "D2")]
    public void Calls_CdevNotBound_EINVAL()
    {
        VfioCdevFile file = _files.OpenCdev();
        foreach (uint request in (uint[])[.. Enum.GetValues<VfioDeviceRequest>().Select(static r => (uint)r), 0x3b77, 0x3b78, 0x1234])
        {
            Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, request, OpenFiles.Words([64, .. new uint[15]])));
        }

        Assert.Equal(Errno.EINVAL, file.Read(0, 0, new byte[4], out _));
        Assert.Equal(Errno.EINVAL, file.Write(0, 0, new byte[4], out _));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => file.Map(0, 0, 4096)));
        Assert.Empty(_device.AwakeDuringCalls);
    }

    [Fact]
    [Trait("Row", "D3")]
    [Trait("Row", "D5")]
    public void Bind_BadDescriptorThenTwice_EINVAL()
    {
        VfioCdevFile file = _files.OpenCdev();
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, (uint)VfioCdevRequest.BindIommufd, OpenFiles.Words(24, 0, unchecked((uint)-2), 0, 0, 0)));
        Assert.Equal(Errno.None, Bind(file));
        Assert.Equal(Errno.EINVAL, Bind(file));
        Assert.True(_device.IsOpen);
    }

    [Fact]
    [Trait("Row", "D8")]
    public void BindAndAttach_FileOfTheGroupPath_EINVALThenENOTTY()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        Assert.Equal(Errno.EINVAL, Bind(file));
        Assert.Equal(Errno.ENOTTY, OpenFiles.Ioctl(file, (uint)VfioCdevRequest.AttachIommufdPt, OpenFiles.Words(16, 0, 1, 0)));
        Assert.Equal(Errno.ENOTTY, OpenFiles.Ioctl(file, (uint)VfioCdevRequest.DetachIommufdPt, OpenFiles.Words(12, 0, 0)));
    }

    [Theory]
    [Trait("Row", "D23")]
    [InlineData(false)]
    [InlineData(true)]
    public void Ioctl_UnknownNumber_ENOTTY(bool cdev)
    {
        VfioDeviceFile file = cdev ? _files.OpenBound() : _files.OpenThroughGroup();
        foreach (uint request in (uint[])[0, 0x3b64, 0x3b67, 0x3b79, 0x3bff, uint.MaxValue])
        {
            Assert.Equal(Errno.ENOTTY, OpenFiles.Ioctl(file, request, new byte[64]));
        }
    }

    [Theory]
    [InlineData(VfioDeviceRequest.GetInfo, 16)]
    [InlineData(VfioDeviceRequest.GetRegionInfo, 32)]
    [InlineData(VfioDeviceRequest.GetIrqInfo, 16)]
    [InlineData(VfioDeviceRequest.SetIrqs, 20)]
    public void Ioctl_Size_MinimumIsCheckedAndTheRestIgnored(VfioDeviceRequest request, int minimum)
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        byte[] small = new byte[64];
        MemoryMarshal.Write(small, (uint)minimum - 1);
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, request, small));
        Assert.Equal(Errno.EFAULT, OpenFiles.Ioctl(file, request, []));
        byte[] missing = new byte[minimum - 4];
        MemoryMarshal.Write(missing, (uint)minimum);
        Assert.Equal(Errno.EFAULT, OpenFiles.Ioctl(file, request, missing));
        byte[] large = new byte[128];
        MemoryMarshal.Write(large, 128u);
        large.AsSpan(minimum).Fill(0xff);
        if (request == VfioDeviceRequest.SetIrqs)
        {
            MemoryMarshal.Write(large.AsSpan(4), VfioIrqSetFlags.DataNone | VfioIrqSetFlags.ActionTrigger);
        }

        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, request, large));
    }

    [Fact]
    public void GetRegionInfo_WithCapabilities_ToldWhatTheyNeedThenGivenInOrder()
    {
        _device.Region = new VfioRegionInfo(0, VfioRegionFlags.Read | VfioRegionFlags.Mmap, 0x4000)
        {
            Type = new VfioRegionType(0x8000_1234, 7),
            MappableAreas = [new VfioRegionArea(0x1000, 0x1000), new VfioRegionArea(0x3000, 0x1000)],
            IsMsixMappable = true,
        };
        const uint Needed = 32 + 16 + 48 + 8;
        VfioDeviceFile file = _files.OpenThroughGroup();
        foreach (uint size in (uint[])[32, Needed - 1])
        {
            byte[] small = OpenFiles.Words([size, 0, 0, 99, .. new uint[28]]);
            Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetRegionInfo, small));
            Assert.Equal([Needed, (uint)(VfioRegionFlags.Read | VfioRegionFlags.Mmap | VfioRegionFlags.Caps), 0, 0], Enumerable.Range(0, 4).Select(i => OpenFiles.Word(small, i)));
            Assert.All(small.Skip(32), static b => Assert.Equal(0, b));
        }

        byte[] full = OpenFiles.Words([Needed, 0, 0, 99, .. new uint[28]]);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetRegionInfo, full));
        Assert.Equal([Needed, 13u, 0, 32, 0x4000, 0, 0, 0], Enumerable.Range(0, 8).Select(i => OpenFiles.Word(full, i)));
        Assert.Equal([0x10002u, 48, 0x8000_1234, 7], Enumerable.Range(8, 4).Select(i => OpenFiles.Word(full, i)));
        Assert.Equal([0x10001u, 96, 2, 0, 0x1000, 0, 0x1000, 0, 0x3000, 0, 0x1000, 0], Enumerable.Range(12, 12).Select(i => OpenFiles.Word(full, i)));
        Assert.Equal([0x10003u, 0], Enumerable.Range(24, 2).Select(i => OpenFiles.Word(full, i)));
    }

    [Fact]
    public void GetRegionInfo_Plain_OffsetIsTheIndexShifted()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        byte[] info = OpenFiles.Words(32, ~0u, 1, ~0u, ~0u, ~0u, ~0u, ~0u);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetRegionInfo, info));
        Assert.Equal(OpenFiles.Words(32, (uint)VfioRegionFlags.Read, 1, 0, 16, 0, 0, 1 << (VfioRegions.OffsetShift - 32)), info);
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, VfioDeviceRequest.GetRegionInfo, OpenFiles.Words(32, 0, 99, 0, 0, 0, 0, 0)));
    }

    [Fact]
    public void GetIrqInfo_KnownAndUnknown_AnswersOrEINVAL()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        byte[] info = OpenFiles.Words(16, ~0u, 0, ~0u);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetIrqInfo, info));
        Assert.Equal(OpenFiles.Words(16, (uint)VfioIrqFlags.Eventfd, 0, 4), info);
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, VfioDeviceRequest.GetIrqInfo, OpenFiles.Words(16, 0, 5, 0)));
    }

    [Fact]
    public void SetIrqs_EventNumbers_ReachTheDeviceWithWhatIsWrongOfEach()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        using EventDescriptor own = EventDescriptor.Create();
        using EventDescriptor installed = EventDescriptor.Create();
        using MemoryFile other = MemoryFile.Create("other", 4096);
        const uint Flags = (uint)(VfioIrqSetFlags.DataEventfd | VfioIrqSetFlags.ActionTrigger);
        byte[] call = OpenFiles.Words(36, Flags, 0, 0, 4, (uint)own.Descriptor.Value, uint.MaxValue, (uint)other.Descriptor.Value, 0xffff);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.SetIrqs, call));
        Assert.Equal([Errno.None, Errno.None, Errno.EINVAL, Errno.EBADF], _device.EventErrors);
        Assert.Null(_device.Events[1]);
        _device.Events[0]!.Signal();
        Assert.True(own.TryDrain(out ulong count));
        Assert.Equal(1ul, count);
        _device.Events[0]!.Dispose();

        // A number of one of this library's files is an eventfd too when an eventfd was installed, and fewer numbers than vectors are refused.
        call = OpenFiles.Words(24, Flags, 0, 3, 1, (uint)_files.Files.Install(installed));
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.SetIrqs, call));
        _device.Events[2]!.Dispose();
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, VfioDeviceRequest.SetIrqs, OpenFiles.Words(24, Flags, 0, 0, 2, uint.MaxValue)));
        Assert.Equal(3, _device.Events.Count);
    }

    [Fact]
    public void SetIrqs_Bools_ReachTheDevice()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        const uint Flags = (uint)(VfioIrqSetFlags.DataBool | VfioIrqSetFlags.ActionTrigger);
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.SetIrqs, [.. OpenFiles.Words(23, Flags, 0, 1, 3), 1, 0, 1]));
        Assert.Equal([1, 0, 1], _device.Bools);
        Assert.Equal(Errno.EINVAL, OpenFiles.Ioctl(file, VfioDeviceRequest.SetIrqs, [.. OpenFiles.Words(22, Flags, 0, 1, 3), 1, 0, 1]));
    }

    [Fact]
    [Trait("Row", "D21")]
    public void Ioctl_DeviceCannotBeWoken_EIOFromAny()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        _device.OnResume = static () => throw new VfioException(Errno.EAGAIN, "waking", "the test wants it");
        foreach (uint request in (uint[])[.. Enum.GetValues<VfioDeviceRequest>().Select(static r => (uint)r), 0x3b77, 0x3b78, 0x1234])
        {
            byte[] argument = OpenFiles.Words([64, .. new uint[31]]);
            Assert.Equal(Errno.EIO, OpenFiles.Ioctl(file, request, argument));
        }

        Assert.Empty(_device.AwakeDuringCalls);
        _device.OnResume = static () => { };
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.Reset, []));
    }

    [Fact]
    [Trait("Row", "D21")]
    public void Ioctl_BoundCdevCannotBeWoken_EIOExceptForBind()
    {
        _device.OnResume = static () => throw new VfioException(Errno.EAGAIN, "waking", "the test wants it");
        VfioCdevFile file = _files.OpenCdev();
        Assert.Equal(Errno.None, Bind(file));
        Assert.Equal(Errno.EINVAL, Bind(file));
        Assert.Equal(Errno.EIO, OpenFiles.Ioctl(file, (uint)VfioCdevRequest.AttachIommufdPt, OpenFiles.Words(16, 0, 1, 0)));
        Assert.Equal(Errno.EIO, OpenFiles.Ioctl(file, (uint)VfioCdevRequest.DetachIommufdPt, OpenFiles.Words(12, 0, 0)));
        Assert.Equal(Errno.EIO, OpenFiles.Ioctl(file, VfioDeviceRequest.GetInfo, OpenFiles.Words(16, 0, 0, 0)));
    }

    [Fact]
    public void Ioctl_DeviceMaySleep_IsAwakeDuringEachCallAndNotAfter()
    {
        VfioDeviceFile file = _files.OpenThroughGroup();
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.GetInfo, OpenFiles.Words(16, 0, 0, 0)));
        Assert.Equal(Errno.None, OpenFiles.Ioctl(file, VfioDeviceRequest.Reset, []));
        Assert.Equal(Errno.ENOTTY, OpenFiles.Ioctl(file, 0x1234, []));
        Assert.Equal(3, _device.AwakeDuringCalls.Count(static n => n > 0));
        Assert.Equal(0, _device.Awake);
    }

    private Errno Bind(VfioFile file)
    {
        IommufdContext context = _files.Keep(_files.Host.OpenIommufd(Rig.User, files: _files.Files));
        return OpenFiles.Ioctl(file, (uint)VfioCdevRequest.BindIommufd, OpenFiles.Words(24, 0, (uint)_files.Files.Install(context), 0, 0, 0));
    }
}
