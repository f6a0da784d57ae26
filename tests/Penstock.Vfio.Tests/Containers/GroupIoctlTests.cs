using System.Runtime.InteropServices;
using System.Text;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>A group file through the kernel's numbers and structures.</summary>
public sealed class GroupIoctlTests : IDisposable
{
    private const int ClosedDescriptor = 0xffff;

    private readonly Rig _rig = new();
    private readonly UserFiles _files = new();
    private readonly VfioGroup _group;

    public GroupIoctlTests() => _group = _rig.Host.OpenGroup(_rig.Group.Number, Rig.User, files: _files);

    public void Dispose()
    {
        _group.Dispose();
        Assert.False(_rig.Group.IsClaimed);
        Assert.False(_rig.Device.IsOpen);
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "G3")]
    [Trait("Row", "G4")]
    public void GetStatus_FreshThenInContainer_ViableThenBoth()
    {
        Assert.Equal(VfioGroupFlags.Viable, Status());
        using VfioContainer container = _rig.OpenContainer();
        Assert.Equal(Errno.None, SetContainer(_files.Install(container)));
        Assert.Equal(VfioGroupFlags.Viable | VfioGroupFlags.ContainerSet, Status());
    }

    [Theory]
    [Trait("Row", "G5")]
    [InlineData(4, 8, Errno.EINVAL)]
    [InlineData(7, 8, Errno.EINVAL)]
    [InlineData(8, 4, Errno.EFAULT)]
    [InlineData(8, 0, Errno.EFAULT)]
    [InlineData(8, 8, Errno.None)]
    [InlineData(64, 64, Errno.None)]
    public void GetStatus_Size_IsCheckedAndMayBeLarger(uint size, int bytes, Errno expected)
    {
        byte[] argument = new byte[bytes];
        argument.AsSpan().Fill(0xa5);
        if (bytes >= sizeof(uint))
        {
            MemoryMarshal.Write(argument, size);
        }

        Assert.Equal(expected, Call(VfioGroupRequest.GetStatus, argument));
        if (expected == Errno.None)
        {
            Assert.Equal((uint)VfioGroupFlags.Viable, MemoryMarshal.Read<uint>(argument.AsSpan(4)));
            Assert.All(argument.Skip(VfioGroupStatus.Length), static b => Assert.Equal(0xa5, b));
        }
    }

    [Fact]
    [Trait("Row", "G6")]
    public void SetContainer_ClosedOtherOrSecond_EBADFThenEBADFDThenEINVAL()
    {
        using MemoryFile regular = MemoryFile.Create("regular", 4096);
        using VfioContainer container = _rig.OpenContainer();
        Assert.Equal(Errno.EFAULT, Call(VfioGroupRequest.SetContainer, new byte[3]));
        Assert.Equal(Errno.EBADF, SetContainer(ClosedDescriptor));
        Assert.Equal(Errno.EBADF, SetContainer(-1));
        Assert.Equal(Errno.EBADFD, SetContainer(regular.Descriptor.Value));
        Assert.Equal(Errno.EBADFD, SetContainer(_files.Install(_group)));
        Assert.False(_rig.Group.IsClaimed);
        int descriptor = _files.Install(container);
        Assert.Equal(Errno.None, SetContainer(descriptor));
        Assert.Equal(Errno.EINVAL, SetContainer(descriptor));

        // That the descriptor is open is looked at first, what it is last.
        Assert.Equal(Errno.EBADF, SetContainer(ClosedDescriptor));
        Assert.Equal(Errno.EINVAL, SetContainer(regular.Descriptor.Value));
    }

    [Fact]
    [Trait("Row", "G10")]
    public void UnsetContainerAndGetDeviceFd_NoContainer_EINVAL()
    {
        Assert.Equal(Errno.EINVAL, Call(VfioGroupRequest.UnsetContainer, []));
        Assert.Equal(Errno.EINVAL, GetDevice("fake0\0"));
    }

    [Fact]
    [Trait("Row", "G11")]
    public void UnsetContainer_DeviceOpen_EBUSYUntilItIsClosed()
    {
        using VfioContainer container = Ready();
        VfioDeviceFile device = Open("fake0");
        Assert.Equal(Errno.EBUSY, Call(VfioGroupRequest.UnsetContainer, []));
        Assert.Equal(1, device.GetInfo().RegionCount);
        device.Dispose();
        Assert.Equal(Errno.None, Call(VfioGroupRequest.UnsetContainer, []));
        Assert.Equal(VfioGroupFlags.Viable, Status());
    }

    [Fact]
    [Trait("Row", "G12")]
    public void GetDeviceFd_ContainerWithoutBackend_EINVAL()
    {
        using VfioContainer container = _rig.OpenContainer();
        SetContainer(_files.Install(container));
        Assert.Equal(Errno.EINVAL, GetDevice("fake0\0"));
        Assert.Equal(0, _rig.Device.Opens);
    }

    [Fact]
    [Trait("Row", "G13")]
    public void GetDeviceFd_Names_OnlyTheExactOneOpens()
    {
        using VfioContainer container = Ready();
        Assert.Equal(Errno.ENODEV, GetDevice("fake9\0"));
        Assert.Equal(Errno.ENODEV, GetDevice("fake0 x\0"));
        Assert.Equal(Errno.ENODEV, GetDevice("\0"));
        Assert.Equal(Errno.EFAULT, GetDevice("fake0"));
        Assert.Equal(Errno.EINVAL, GetDevice(new string('x', VfioGroupStatus.LongestDeviceName) + "\0"));
        Assert.Equal(0, _rig.Device.Opens);
        using VfioDeviceFile device = Open("fake0\0behind the end");
        Assert.Equal("fake0", device.Name);
    }

    [Fact]
    [Trait("Row", "G17")]
    public void Ioctl_UnknownNumber_ENOTTY()
    {
        foreach (uint request in (uint[])[0, 0x3b66, 0x3b6b, 0x3b75, 0x7f, uint.MaxValue])
        {
            Assert.Equal(Errno.ENOTTY, ErrnoOf(() => _group.Ioctl(request, new byte[64])));
        }
    }

    [Fact]
    [Trait("Row", "G16")]
    public void Calls_LastDeviceGone_ENODEV()
    {
        using VfioContainer container = _rig.OpenContainer();
        _rig.Host.Unregister(_rig.Device);
        Assert.Equal(Errno.ENODEV, Call(VfioGroupRequest.GetStatus, Words(VfioGroupStatus.Length, 0)));
        Assert.Equal(Errno.ENODEV, SetContainer(_files.Install(container)));
        Assert.Equal(Errno.ENODEV, GetDevice("fake0\0"));
    }

    [Fact]
    public void SetContainer_Iommufd_DevicesAreOpenedThroughIt()
    {
        using IommufdContext context = _rig.Host.OpenIommufd(Rig.User, files: _files);
        Assert.Equal(Errno.None, SetContainer(_files.Install(context)));
        using VfioDeviceFile device = Open("fake0");
        Assert.NotNull(context.CompatIoas);
        Assert.Equal(1, _rig.Device.Opens);
    }

    private static byte[] Words(params uint[] words) => MemoryMarshal.AsBytes(words.AsSpan()).ToArray();

    private VfioContainer Ready()
    {
        VfioContainer container = _rig.OpenContainer();
        Assert.Equal(Errno.None, SetContainer(_files.Install(container)));
        container.SetIommu(VfioIommuType.Type1V2);
        return container;
    }

    private VfioGroupFlags Status()
    {
        byte[] argument = Words(VfioGroupStatus.Length, uint.MaxValue);
        Assert.Equal(0, _group.Ioctl((uint)VfioGroupRequest.GetStatus, argument));
        return (VfioGroupFlags)MemoryMarshal.Read<uint>(argument.AsSpan(4));
    }

    private Errno SetContainer(int descriptor) => Call(VfioGroupRequest.SetContainer, Words((uint)descriptor));

    private Errno GetDevice(string name) => Call(VfioGroupRequest.GetDeviceFd, Encoding.UTF8.GetBytes(name));

    private VfioDeviceFile Open(string name) => Assert.IsType<VfioDeviceFile>(
        _files.Find(_group.Ioctl((uint)VfioGroupRequest.GetDeviceFd, Encoding.UTF8.GetBytes(name + "\0"))));

    private Errno Call(VfioGroupRequest request, byte[] argument) => ErrnoOf(() => Assert.Equal(0, _group.Ioctl((uint)request, argument)));
}
