using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>Devices that no IOMMU isolates.</summary>
public sealed class NoIommuTests : IDisposable
{
    private static readonly Caller Root = Rig.User with { RawIo = true };

    private readonly Rig _rig = new(host: new VfioHostOptions { NoIommu = true });
    private readonly FakeDevice _device = new("bare0");
    private readonly IommuGroup _bare;

    public NoIommuTests()
    {
        _bare = _rig.Host.NoIommuUnit!.CreateGroup();
        _rig.Host.Register(_device, _bare);
    }

    public void Dispose()
    {
        Assert.False(_device.IsOpen);
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "C13")]
    public void SetContainer_RealAndBareTogether_EPERM()
    {
        VfioContainer container = _rig.Host.OpenContainer(Root);
        VfioGroup real = _rig.OpenGroup();
        real.SetContainer(container);
        container.SetIommu(VfioIommuType.Type1V2);
        using VfioGroup bare = _rig.Host.OpenGroup(_bare.Number, Root);
        Assert.Equal(Errno.EPERM, ErrnoOf(() => bare.SetContainer(container)));
        Assert.False(_bare.IsClaimed);
        real.Dispose();
        bare.SetContainer(container);
        using VfioGroup again = _rig.OpenGroup();
        Assert.Equal(Errno.EPERM, ErrnoOf(() => again.SetContainer(container)));
        container.Dispose();
    }

    [Fact]
    [Trait("Row", "C14")]
    public void OpenAndAttach_NoRawIo_EPERM()
    {
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _rig.Host.OpenGroup(_bare.Number, Rig.User)));
        Assert.Equal(Errno.EPERM, ErrnoOf(() => _rig.Host.OpenCdev("noiommu-bare0", Rig.User)));
        using VfioGroup group = _rig.Host.OpenGroup(_bare.Number, Root);
        using VfioContainer theirs = _rig.OpenContainer();
        Assert.Equal(Errno.EPERM, ErrnoOf(() => group.SetContainer(theirs)));
        Assert.Equal(VfioGroupFlags.Viable, group.GetStatus());
        Assert.False(_bare.IsClaimed);
        using VfioContainer own = _rig.Host.OpenContainer(Root);
        group.SetContainer(own);
        own.SetIommu(VfioIommuType.NoIommu);
        group.OpenDevice("bare0").Dispose();
        Assert.Equal(1, _device.Closes);
    }

    [Fact]
    public void Container_OfBareGroups_KnowsOneExtensionAndMapsNothing()
    {
        using VfioGroup group = _rig.Host.OpenGroup(_bare.Number, Root);
        using VfioContainer container = _rig.Host.OpenContainer(Root);
        Assert.True(container.CheckExtension(VfioIommuType.NoIommu));
        Assert.True(container.CheckExtension(VfioIommuType.Type1V2));
        group.SetContainer(container);
        Assert.True(container.CheckExtension(VfioIommuType.NoIommu));
        Assert.False(container.CheckExtension(VfioIommuType.Type1V2));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => container.SetIommu(VfioIommuType.Type1V2)));
        container.SetIommu(VfioIommuType.NoIommu);
        byte[] argument = new byte[64];
        argument[0] = 64;
        foreach (VfioContainerRequest request in (VfioContainerRequest[])[VfioContainerRequest.GetInfo, VfioContainerRequest.MapDma, VfioContainerRequest.UnmapDma, VfioContainerRequest.DirtyPages])
        {
            Assert.Equal(Errno.ENOTTY, ErrnoOf(() => container.Ioctl((uint)request, argument)));
        }

        group.UnsetContainer();
        Assert.False(container.HasBackend);
        Assert.True(container.CheckExtension(VfioIommuType.Type1V2));
    }

    [Fact]
    public void Container_OfRealGroups_HasNoBareBackend()
    {
        using VfioGroup group = _rig.OpenGroup();
        using VfioContainer container = _rig.Host.OpenContainer(Root);
        group.SetContainer(container);
        Assert.False(container.CheckExtension(VfioIommuType.NoIommu));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => container.SetIommu(VfioIommuType.NoIommu)));
    }

    [Fact]
    [Trait("Row", "N13")]
    public void OpenDevice_IommufdHasCompatIoas_EPERM()
    {
        using IommufdContext context = _rig.Host.OpenIommufd(Root);
        using VfioGroup group = _rig.Host.OpenGroup(_bare.Number, Root);
        group.SetContainer(context);
        Assert.Null(context.CompatIoas);
        Assert.False(context.Container.CheckExtension(VfioIommuType.Type1V2));
        Assert.True(context.Container.CheckExtension(VfioIommuType.NoIommu));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => context.Container.SetIommu(VfioIommuType.Type1V2)));
        context.Container.SetIommu(VfioIommuType.NoIommu);
        group.OpenDevice("bare0").Dispose();

        Ioas ioas = context.AllocateIoas();
        context.Ioctl((uint)IommufdRequest.VfioIoas, OpenFiles.Words(IommuVfioIoas.Length, ioas.Id, (uint)IommuVfioIoasOperation.Set));
        Assert.Equal(Errno.EPERM, ErrnoOf(() => group.OpenDevice("bare0")));
        Assert.Equal(1, _device.Opens);
        context.CompatIoas = null;
        group.OpenDevice("bare0").Dispose();
    }

    [Fact]
    public void SetContainer_IommufdOfTheOtherKind_EINVAL()
    {
        using IommufdContext context = _rig.Host.OpenIommufd(Root);
        using VfioGroup real = _rig.OpenGroup();
        real.SetContainer(context);
        using VfioGroup bare = _rig.Host.OpenGroup(_bare.Number, Root);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => bare.SetContainer(context)));
        using IommufdContext other = _rig.Host.OpenIommufd(Root);
        bare.SetContainer(other);
        real.UnsetContainer();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => real.SetContainer(other)));
    }

    [Fact]
    public void Cdev_OfABareDevice_HasItsNameAndNoPageTable()
    {
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => _rig.Host.OpenCdev("bare0", Root)));
        using IommufdContext context = _rig.Host.OpenIommufd(Root);
        using VfioCdevFile file = _rig.Host.OpenCdev("noiommu-bare0", Root);
        uint id = file.Bind(context);
        Assert.Equal(1, file.GetInfo().RegionCount);
        Ioas ioas = context.AllocateIoas();
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => file.Attach(ioas.Id)));
        Assert.Null(_bare.Domain);

        // Nobody can say what its IOMMU is, nor where its memory lies.
        byte[] info = OpenFiles.Words(IommuHardwareInfo.Length, 0, id, 0, 0, 0, 0, 0, 0, 0);
        Assert.Equal(Errno.EOPNOTSUPP, ErrnoOf(() => context.Ioctl((uint)IommufdRequest.GetHardwareInfo, info)));
        Assert.Equal(Errno.ENOTTY, ErrnoOf(() => context.Ioctl(0x3b95, new byte[64])));
    }

    [Fact]
    public void Host_NotTold_HasNoSuchUnit()
    {
        using var host = new VfioHost();
        Assert.Null(host.NoIommuUnit);
        using VfioContainer container = host.OpenContainer(Root);
        Assert.False(container.CheckExtension(VfioIommuType.NoIommu));
    }
}
