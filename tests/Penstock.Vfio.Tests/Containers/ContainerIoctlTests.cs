using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>The container's rows with the kernel's numbers and structures.</summary>
public sealed class ContainerIoctlTests
{
    private const uint Unknown = 0x3b99;

    [Fact]
    [Trait("Row", "C1")]
    [Trait("Row", "C2")]
    public void VersionAndExtensions_FreshContainer_Answered()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        Assert.Equal(0, container.Ioctl((uint)VfioContainerRequest.GetApiVersion, []));
        int[] answers = [.. new[] { 1, 3, 9, 10, 4, 6, 99 }.Select(e => Number(container, VfioContainerRequest.CheckExtension, e))];
        Assert.Equal([1, 1, 1, 0, 0, 0, 0], answers);
    }

    [Fact]
    [Trait("Row", "C3")]
    [Trait("Row", "C4")]
    [Trait("Row", "C5")]
    public void SetIommu_EachState_HasItsErrno()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Number(container, VfioContainerRequest.SetIommu, 3)));
        using VfioGroup group = rig.OpenGroup();
        group.SetContainer(container);
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Number(container, VfioContainerRequest.SetIommu, 6)));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Number(container, VfioContainerRequest.SetIommu, 77)));
        Assert.Equal(0, Number(container, VfioContainerRequest.SetIommu, 3));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Number(container, VfioContainerRequest.SetIommu, 3)));
    }

    [Fact]
    [Trait("Row", "C6")]
    public void MapDma_GroupButNoBackend_EINVAL()
    {
        using var rig = new Rig();
        using VfioContainer container = rig.OpenContainer();
        using VfioGroup group = rig.OpenGroup();
        group.SetContainer(container);
        byte[] call = Bytes(new VfioDmaMap { ArgumentSize = VfioDmaMap.Length, Flags = VfioDmaMapFlags.Read, UserAddress = 0x10000, MapSize = 4096 });
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.Ioctl((uint)VfioContainerRequest.MapDma, call)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => container.Ioctl(Unknown, call)));
    }

    [Fact]
    [Trait("Row", "C7")]
    public void Ioctl_UnknownNumberWithBackend_ENOTTY()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.ENOTTY, ErrnoOf(() => rig.Container.Ioctl(Unknown, new byte[64])));
    }

    [Fact]
    [Trait("Row", "C12")]
    public void MapDma_LastGroupGone_EINVALAndNothingOldAfterwards()
    {
        using var rig = new Type1Rig();
        var other = new FakeDevice("fake1");
        IommuGroup otherGroup = rig.Unit.CreateGroup();
        rig.Host.Register(other, otherGroup);
        using VfioGroup second = rig.Host.OpenGroup(otherGroup.Number, rig.Caller);
        second.SetContainer(rig.Container);
        Assert.Equal(Errno.None, rig.Map(0, Type1Rig.Page));
        second.UnsetContainer();
        Assert.Equal(Errno.None, rig.Map(Type1Rig.Page, Type1Rig.Page));
        rig.File.Dispose();
        rig.Group.UnsetContainer();
        Assert.Equal(Errno.EINVAL, rig.Map(2 * Type1Rig.Page, Type1Rig.Page));
        second.SetContainer(rig.Container);
        Assert.Equal(0, rig.Number(VfioContainerRequest.SetIommu, 3));
        Assert.Equal((Errno.None, 0ul), rig.Unmap(0, 0, VfioDmaUnmapFlags.All));
        Assert.Equal(65535u, rig.Available());
    }

    [Fact]
    [Trait("Row", "C15")]
    public void CheckExtension_UpdateVaddr_NotWithAnEmulatedGroup()
    {
        using var rig = new Type1Rig();
        Assert.Equal(1, rig.Number(VfioContainerRequest.CheckExtension, 10));
        var mediated = new FakeDevice("mediated");
        IommuGroup emulated = rig.Host.RegisterEmulated(mediated);
        using VfioGroup group = rig.Host.OpenGroup(emulated.Number, rig.Caller);
        group.SetContainer(rig.Container);
        Assert.Equal(0, rig.Number(VfioContainerRequest.CheckExtension, 10));
        group.UnsetContainer();
        Assert.Equal(1, rig.Number(VfioContainerRequest.CheckExtension, 10));
    }

    [Fact]
    public void Ioctl_NoNumberOrNoStructure_EFAULT()
    {
        using var rig = new Type1Rig();
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => rig.Container.Ioctl((uint)VfioContainerRequest.CheckExtension, [])));
        Assert.Equal(Errno.EFAULT, ErrnoOf(() => rig.Container.Ioctl((uint)VfioContainerRequest.MapDma, [])));
    }

    private static int Number(VfioContainer container, VfioContainerRequest request, int number) => container.Ioctl((uint)request, Bytes(number));

    private static byte[] Bytes<T>(T value)
        where T : unmanaged => MemoryMarshal.AsBytes(new ReadOnlySpan<T>(in value)).ToArray();
}
