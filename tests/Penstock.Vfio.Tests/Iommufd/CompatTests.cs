using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Iommufd;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests.Iommufd;

public sealed class CompatTests : IDisposable
{
    private const ulong Page = IommufdRig.Page;
    private const ulong Base = 1ul << 30;

    private readonly IommufdRig _rig = new();

    private IommufdContainer Container => _rig.Context.Container;

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "N1")]
    public void VersionAndExtensions_Fresh_Answered()
    {
        Assert.Equal(0, _rig.Context.Ioctl((uint)VfioContainerRequest.GetApiVersion, []));
        Assert.Equal(1, Number(VfioContainerRequest.CheckExtension, 3));
        Assert.Equal(1, Number(VfioContainerRequest.CheckExtension, 1));
        Assert.Equal(1, Number(VfioContainerRequest.CheckExtension, 9));
        Assert.Equal(0, Number(VfioContainerRequest.CheckExtension, 10));
        Assert.Equal(0, Number(VfioContainerRequest.CheckExtension, 6));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Number(VfioContainerRequest.CheckExtension, 4)));
    }

    [Fact]
    [Trait("Row", "N2")]
    public void Calls_NoAddressSpace_ENODEV()
    {
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Number(VfioContainerRequest.SetIommu, 1)));
        Assert.Equal(Errno.ENODEV, ErrnoOf(() => Number(VfioContainerRequest.SetIommu, 3)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => Number(VfioContainerRequest.SetIommu, 2)));
        Assert.Equal(Errno.ENODEV, Map(Base, Page));
        Assert.Equal(Errno.ENODEV, Unmap(Base, Page).Errno);
        Assert.Equal(Errno.ENODEV, Info(new byte[64]));
    }

    [Fact]
    [Trait("Row", "N3")]
    public void Calls_BadSizesAndFlags_EINVALBeforeENODEV()
    {
        Assert.Equal(Errno.EINVAL, Map(Base, Page, size: 1));
        Assert.Equal(Errno.EINVAL, Map(Base, Page, (VfioDmaMapFlags)(1u << 31)));
        Assert.Equal(Errno.EINVAL, Unmap(Base, Page, size: 1).Errno);
        Assert.Equal(Errno.EINVAL, Unmap(Base, Page, (VfioDmaUnmapFlags)(1u << 31)).Errno);
        Assert.Equal(Errno.EINVAL, Info(new byte[64], 1));
    }

    [Fact]
    [Trait("Row", "N4")]
    public void VfioIoas_GetSetClear_EachHasItsErrno()
    {
        var call = new IommuVfioIoas { Size = IommuVfioIoas.Length, Operation = IommuVfioIoasOperation.Get };
        Assert.Equal(Errno.ENODEV, _rig.IoctlError(IommufdRequest.VfioIoas, call));
        Assert.Equal(Errno.ENOENT, _rig.IoctlError(IommufdRequest.VfioIoas, call with { Operation = IommuVfioIoasOperation.Set, IoasId = 9 }));
        Ioas ioas = _rig.Context.AllocateIoas();
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.VfioIoas, call with { Operation = IommuVfioIoasOperation.Set, IoasId = ioas.Id }));
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.VfioIoas, ref call));
        Assert.Equal(ioas.Id, call.IoasId);
        Assert.Equal(Errno.None, _rig.IoctlError(IommufdRequest.VfioIoas, call with { Operation = IommuVfioIoasOperation.Clear }));
        Assert.Equal(Errno.ENODEV, _rig.IoctlError(IommufdRequest.VfioIoas, call));
        Assert.Equal(Errno.EOPNOTSUPP, _rig.IoctlError(IommufdRequest.VfioIoas, call with { Operation = (IommuVfioIoasOperation)3 }));
        _rig.Context.CompatIoas = ioas;
        _rig.Context.Destroy(ioas.Id);
        Assert.Null(_rig.Context.CompatIoas);
    }

    [Fact]
    [Trait("Row", "N5")]
    [Trait("Row", "N6")]
    public void MapAndUnmap_AddressSpaceSet_SizesAreAnswered()
    {
        Ready();
        Assert.Equal(Errno.None, Map(Base, 2 * Page));
        Assert.Equal(Errno.EEXIST, Map(Base, Page));
        Assert.Equal((Errno.None, 2 * Page), Unmap(Base, 2 * Page));
        Assert.Equal((Errno.None, 0ul), Unmap(Base, 2 * Page));
        Map(Base, Page);
        Assert.Equal((Errno.EINVAL, 0ul), Unmap(Base, 0, VfioDmaUnmapFlags.All));
        Assert.Equal((Errno.None, Page), Unmap(0, 0, VfioDmaUnmapFlags.All));
        Assert.Equal(Errno.EINVAL, Unmap(Base, 0).Errno);
    }

    [Fact]
    [Trait("Row", "N7")]
    public void Unmap_PartInTheSecondForm_ENOENTAndSizeIsWrittenBack()
    {
        Ready();
        Container.SetIommu(VfioIommuType.Type1V2);
        Map(Base, 2 * Page);
        Map(Base + (2 * Page), 4 * Page);
        Assert.Equal((Errno.ENOENT, 2 * Page), Unmap(Base, 4 * Page));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Row", "N8")]
    public void Unmap_PartsInTheFirstForm_AllSucceed(bool withDevice)
    {
        Ioas ioas = Ready();
        Container.SetIommu(VfioIommuType.Type1);
        Container.SetIommu(VfioIommuType.Type1);
        VfioCdevFile? file = null;
        if (withDevice)
        {
            file = _rig.Bind();
            file.Attach(ioas.Id);
        }

        Map(Base, 32 * Page);
        int[] parts = [.. Enumerable.Range(0, 16)];
        new Random(5).Shuffle(parts);
        var left = parts.ToHashSet();
        foreach (int part in parts)
        {
            Assert.Equal((Errno.None, 2 * Page), Unmap(Base + ((ulong)part * 2 * Page), 2 * Page));
            left.Remove(part);
            for (int i = 0; withDevice && i < 16; i++)
            {
                Errno expected = left.Contains(i) ? Errno.None : Errno.EFAULT;
                Assert.Equal(expected, _rig.Rig.Port.Write(Base + (((ulong)i * 2) + 1) * Page, [1]));
            }

            Assert.Equal(withDevice ? (ulong)left.Count * 2 : 0, _rig.Context.PinnedPages);
        }

        file?.Dispose();
    }

    [Fact]
    [Trait("Row", "N9")]
    public void Map_NoAccessRight_FineUntilATableHasToTakeIt()
    {
        Ioas ioas = Ready();
        Assert.Equal(Errno.None, Map(Base, Page, VfioDmaMapFlags.None));
        using VfioCdevFile file = _rig.Bind();
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => file.Attach(ioas.Id)));
        Assert.Empty(ioas.Tables);
    }

    [Fact]
    [Trait("Row", "N10")]
    public void GetInfo_SmallAndLarge_TotalAndChain()
    {
        Ready();
        byte[] small = new byte[24];
        Assert.Equal(Errno.None, Info(small));
        Assert.Equal(72u, MemoryMarshal.Read<uint>(small));
        Assert.Equal(0u, MemoryMarshal.Read<uint>(small.AsSpan(16)));
        byte[] large = new byte[100];
        Assert.Equal(Errno.None, Info(large));
        uint[] words = MemoryMarshal.Cast<byte, uint>(large).ToArray();
        Assert.Equal([72u, 3u, 1u, 0u, 24u, 0u], words[..6]);
        Assert.Equal([3u | (1 << 16), 40u, uint.MaxValue, 0u], words[6..10]);
        Assert.Equal([1u | (1 << 16), 0u, 1u, 0u, 0u, 0u, uint.MaxValue, uint.MaxValue], words[10..18]);
    }

    [Fact]
    [Trait("Row", "N11")]
    public void DirtyPages_Always_ENOTTY() => Assert.Equal(Errno.ENOTTY, ErrnoOf(() => _rig.Context.Ioctl(0x3b75, new byte[32])));

    [Fact]
    [Trait("Row", "N5")]
    public void Group_IommufdAsContainer_DevicesUseItsAddressSpace()
    {
        VfioGroup group = _rig.Rig.OpenGroup();
        group.SetContainer(_rig.Context);
        Assert.Equal(Errno.EINVAL, ErrnoOf(() => group.SetContainer(_rig.Context)));
        Assert.Equal(VfioGroupFlags.Viable | VfioGroupFlags.ContainerSet, group.GetStatus());
        Assert.Equal(Errno.None, Map(Base, 2 * Page));
        VfioDeviceFile file = group.OpenDevice(_rig.Rig.Device.Name);
        VfioDeviceFile again = group.OpenDevice(_rig.Rig.Device.Name);
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base, [5]));
        Assert.Equal(5, _rig.Memory.Span(IommufdRig.Buffer, 1)[0]);
        Assert.Equal((Errno.None, 2 * Page), Unmap(Base, 2 * Page));
        Assert.Equal((Errno.None, 0ul), Unmap(Base, 2 * Page));
        Assert.Equal(Errno.EFAULT, _rig.Rig.Port.Write(Base, [5]));
        using VfioCdevFile cdev = _rig.Rig.Host.OpenCdev(_rig.Rig.Device.Name, Rig.User);
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => cdev.Bind(_rig.Context)));
        group.UnsetContainer();
        Map(Base, 2 * Page);
        group.Dispose();
        file.Dispose();
        Assert.Equal(Errno.None, _rig.Rig.Port.Write(Base, [5]));
        again.Dispose();
        Assert.Null(_rig.Rig.Group.Domain);
        Assert.Equal(1, _rig.Rig.Device.Closes);
        cdev.Bind(_rig.Context);
    }

    [Fact]
    [Trait("Row", "D18")]
    public void Group_DriverRefuses_ItsErrorAndNothingIsLeft()
    {
        var machine = new FakeMachine();
        using VfioGroup group = _rig.Rig.OpenGroup();
        group.SetContainer(_rig.Context);
        group.SetHypervisor(machine);
        int objects = _rig.Context.ObjectCount;
        _rig.Rig.Device.OpenError = Errno.ENOSPC;
        Assert.Equal(Errno.ENOSPC, ErrnoOf(() => group.OpenDevice("fake0")));
        Assert.Equal((1, null), (machine.References, _rig.Rig.Device.Hypervisor));
        Assert.Equal(objects, _rig.Context.ObjectCount);
        Assert.False(_rig.Rig.Device.IsOpen);
        Assert.False(_rig.Rig.Group.IsClaimed);
        _rig.Rig.Device.OpenError = Errno.None;
        group.OpenDevice("fake0").Dispose();
        Assert.Equal(1, machine.References);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void CheckExtension_DmaCoherence_OnlyWhenAllTablesEnforceIt(bool enforced)
    {
        using var rig = new IommufdRig(new IommuUnitOptions { EnforcesCoherency = enforced });
        Ioas ioas = rig.Context.AllocateIoas();
        rig.Context.CompatIoas = ioas;
        Assert.True(rig.Context.Container.CheckExtension(VfioIommuType.DmaCacheCoherent));
        using VfioCdevFile file = rig.Bind();
        file.Attach(ioas.Id);
        Assert.Equal(enforced, rig.Context.Container.CheckExtension(VfioIommuType.DmaCacheCoherent));
    }

    [Fact]
    public void Group_DeviceCannotBeAttached_OpenFailsAndLeavesNothing()
    {
        Ready().MapAddress(IommufdRig.Buffer, 100, DmaAccess.Read, Base);
        using VfioGroup group = _rig.Rig.OpenGroup();
        group.SetContainer(_rig.Context);
        Assert.Equal(Errno.EADDRINUSE, ErrnoOf(() => group.OpenDevice(_rig.Rig.Device.Name)));
        Assert.Equal((1, 1), (_rig.Rig.Device.Opens, _rig.Rig.Device.Closes));
        Assert.False(_rig.Rig.Group.IsClaimed);
        Unmap(0, 0, VfioDmaUnmapFlags.All);
        group.OpenDevice(_rig.Rig.Device.Name).Dispose();
    }

    private Ioas Ready()
    {
        Ioas ioas = _rig.Context.AllocateIoas();
        _rig.Context.CompatIoas = ioas;
        return ioas;
    }

    private int Number(VfioContainerRequest request, int number) =>
        _rig.Context.Ioctl((uint)request, MemoryMarshal.AsBytes(new Span<int>(ref number)));

    private Errno Map(ulong iova, ulong length, VfioDmaMapFlags flags = VfioDmaMapFlags.Read | VfioDmaMapFlags.Write, uint size = VfioDmaMap.Length) =>
        _rig.IoctlError((IommufdRequest)VfioContainerRequest.MapDma, new VfioDmaMap
        {
            ArgumentSize = size, Flags = flags, UserAddress = IommufdRig.Buffer, Iova = iova, MapSize = length,
        });

    private (Errno Errno, ulong Size) Unmap(ulong iova, ulong length, VfioDmaUnmapFlags flags = 0, uint size = VfioDmaUnmap.Length)
    {
        var call = new VfioDmaUnmap { ArgumentSize = size, Flags = flags, Iova = iova, UnmapSize = length };
        return (_rig.IoctlError((IommufdRequest)VfioContainerRequest.UnmapDma, ref call), call.UnmapSize);
    }

    private Errno Info(byte[] answer, int? size = null)
    {
        MemoryMarshal.Write(answer, (uint)(size ?? answer.Length));
        return ErrnoOf(() => _rig.Context.Ioctl((uint)VfioContainerRequest.GetInfo, answer));
    }
}
