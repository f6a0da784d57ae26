using Penstock.Interop;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

public sealed class KvmVfioTests : IDisposable
{
    private readonly HypervisorRig _rig = new();

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "K1")]
    public void Create_Second_EBUSYUntilTheFirstIsClosed()
    {
        KvmVfio first = _rig.CreateVfio();
        Assert.Equal(Errno.EBUSY, _rig.VmIoctl(KvmRequest.CreateDevice, new KvmCreateDevice { Type = KvmDeviceType.Vfio }));
        Assert.Equal(Errno.None, _rig.VmIoctl(KvmRequest.CreateDevice, new KvmCreateDevice { Type = KvmDeviceType.Vfio, Flags = KvmCreateDeviceFlags.Test }));
        Assert.Equal(Errno.ENODEV, _rig.VmIoctl(KvmRequest.CreateDevice, new KvmCreateDevice { Type = (KvmDeviceType)77 }));
        first.Dispose();
        _rig.CreateVfio();
    }

    [Fact]
    [Trait("Row", "K2")]
    [Trait("Row", "S4-15")]
    public void Add_BadDescriptors_EachHasItsErrno()
    {
        (_, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        using MemoryFile other = MemoryFile.Create("test", 4096);
        Assert.Equal(Errno.EBADF, HypervisorRig.Add(vfio, 0xfff_fff));
        Assert.Equal(Errno.EBADF, HypervisorRig.Add(vfio, -1));
        Assert.Equal(Errno.EINVAL, HypervisorRig.Add(vfio, other.Descriptor.Value));
        Assert.Equal(Errno.EINVAL, HypervisorRig.Add(vfio, _rig.Files.Install(vfio)));
        Assert.Equal(Errno.EFAULT, HypervisorRig.AttrIoctl(vfio, KvmRequest.SetDeviceAttr, new KvmDeviceAttr { Group = 1, Attribute = 1, Address = 16 }));
        Assert.Equal(Errno.None, HypervisorRig.Add(vfio, _rig.Files.Install(group)));

        // A second number of the same open file.
        Assert.Equal(Errno.EEXIST, HypervisorRig.Add(vfio, _rig.Files.Install(group)));
        Assert.Single(vfio.Added);
        group.Dispose();
    }

    [Fact]
    [Trait("Row", "K3")]
    public void Del_NeverAdded_ENOENT()
    {
        (_, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        int number = _rig.Files.Install(group);
        Assert.Equal(Errno.ENOENT, HypervisorRig.Del(vfio, number));
        Assert.Equal(Errno.None, HypervisorRig.Add(vfio, number));
        Assert.Equal(Errno.None, HypervisorRig.Del(vfio, number));
        Assert.Equal(Errno.ENOENT, HypervisorRig.Del(vfio, number));
        Assert.Equal(Errno.EBADF, HypervisorRig.Del(vfio, 0xfff_fff));
        group.Dispose();
    }

    [Theory]
    [InlineData(1, 9)]
    [InlineData(1, 0)]
    [InlineData(1, 3)]
    [InlineData(2, 1)]
    [Trait("Row", "K4")]
    public void Attribute_Unknown_ENXIO(uint group, ulong attribute)
    {
        KvmVfio vfio = _rig.CreateVfio();
        Assert.Equal(Errno.ENXIO, HypervisorRig.SetAttr(vfio, group, attribute, 0));
        Assert.Equal(Errno.ENXIO, HypervisorRig.AttrIoctl(vfio, KvmRequest.HasDeviceAttr, new KvmDeviceAttr { Group = group, Attribute = attribute }));
        Assert.Equal(Errno.None, HypervisorRig.AttrIoctl(vfio, KvmRequest.HasDeviceAttr, new KvmDeviceAttr { Group = 1, Attribute = 1 }));
        Assert.Equal(Errno.None, HypervisorRig.AttrIoctl(vfio, KvmRequest.HasDeviceAttr, new KvmDeviceAttr { Group = 1, Attribute = 2 }));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Row", "K5")]
    [Trait("Row", "S4-20")]
    public void Open_FileAddedBefore_DriverSeesTheMachineAndItIsHeld(bool byGroup)
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        if (byGroup)
        {
            Assert.Equal(Errno.None, HypervisorRig.Add(vfio, _rig.Files.Install(group)));
            VfioDeviceFile file = group.OpenDevice("fake0");
            Assert.Same(_rig.Vm, device.SeenAtOpen);
            _rig.Vm.Dispose();
            Assert.False(_rig.Vm.IsDestroyed);
            file.Dispose();
            group.Dispose();
        }
        else
        {
            group.Dispose();
            using IommufdContext context = _rig.OpenIommufd();
            using VfioCdevFile file = _rig.OpenCdev("fake0");
            Assert.Equal(Errno.None, HypervisorRig.Add(vfio, _rig.Files.Install(file)));
            file.Bind(context);
            Assert.Same(_rig.Vm, device.SeenAtOpen);
            _rig.Vm.Dispose();
            Assert.False(_rig.Vm.IsDestroyed);
            vfio.RemoveFile(file);
            Assert.Same(_rig.Vm, device.Hypervisor);
        }

        Assert.True(_rig.Vm.IsDestroyed);
    }

    [Fact]
    [Trait("Row", "K6")]
    [Trait("Row", "S0-1")]
    public void Add_DeviceOpen_DeviceStillHasNoMachine()
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        using (group.OpenDevice("fake0"))
        {
            Assert.Equal(Errno.None, HypervisorRig.Add(vfio, _rig.Files.Install(group)));
            Assert.Null(device.Hypervisor);
            using VfioDeviceFile second = group.OpenDevice("fake0");
            Assert.Null(device.Hypervisor);
        }

        using (group.OpenDevice("fake0"))
        {
            Assert.Same(_rig.Vm, device.Hypervisor);
        }

        group.Dispose();
    }

    [Fact]
    [Trait("Row", "K7")]
    [Trait("Row", "S0-1")]
    public void Open_VfioDeviceAndHandleGo_MachineLivesUntilLastClose()
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        HypervisorRig.Add(vfio, _rig.Files.Install(group));
        VfioDeviceFile file = group.OpenDevice("fake0");
        VfioDeviceFile second = group.OpenDevice("fake0");
        group.Dispose();
        vfio.Dispose();
        _rig.Vm.Dispose();
        bool aliveAtClose = false;
        device.OnClose = () => aliveAtClose = !_rig.Vm.IsDestroyed && device.Hypervisor == _rig.Vm;
        Assert.Equal(Errno.None, file.Read(0, 0, new byte[4], out _));
        file.Dispose();
        Assert.False(_rig.Vm.IsDestroyed);
        second.Dispose();
        Assert.True(aliveAtClose);
        Assert.True(_rig.Vm.IsDestroyed);
    }

    [Fact]
    [Trait("Row", "K8")]
    public void Open_MachineDying_OpensWithout()
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        HypervisorRig.Add(_rig.CreateVfio(), _rig.Files.Install(group));
        VfioDeviceFile? file = null;
        _rig.Vm.Destroying = () => file = group.OpenDevice("fake0");
        _rig.Vm.Dispose();
        Assert.NotNull(file);
        Assert.Equal(1, device.Opens);
        Assert.Null(device.SeenAtOpen);
        file.Dispose();
        group.Dispose();
    }

    [Fact]
    [Trait("Row", "K9")]
    public void Bind_OtherFileOfTheDeviceAdded_NoMachine()
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        group.Dispose();
        using IommufdContext context = _rig.OpenIommufd();
        using VfioCdevFile first = _rig.OpenCdev("fake0");
        using VfioCdevFile second = _rig.OpenCdev("fake0");
        KvmVfio vfio = _rig.CreateVfio();
        HypervisorRig.Add(vfio, _rig.Files.Install(first));
        second.Bind(context);
        Assert.Equal(1, device.Opens);
        Assert.Null(device.SeenAtOpen);
        second.Dispose();
        first.Bind(context);
        Assert.Same(_rig.Vm, device.SeenAtOpen);
        vfio.Dispose();
    }

    [Fact]
    [Trait("Row", "K10")]
    public void Coherency_OneOfThreeFilesIsNot_RegisteredOnceAndUnregisteredOnce()
    {
        KvmVfio vfio = _rig.CreateVfio();
        VfioGroup[] groups = [_rig.AddDevice("a").Group, _rig.AddDevice("b", coherent: false).Group, _rig.AddDevice("c").Group];
        int[] numbers = [.. groups.Select(_rig.Files.Install)];
        var seen = new List<int>();
        foreach (int number in numbers)
        {
            Assert.Equal(Errno.None, HypervisorRig.Add(vfio, number));
            seen.Add(_rig.Vm.NonCoherentDma);
        }

        foreach (int number in new[] { numbers[0], numbers[1], numbers[2] })
        {
            Assert.Equal(Errno.None, HypervisorRig.Del(vfio, number));
            seen.Add(_rig.Vm.NonCoherentDma);
        }

        Assert.Equal([0, 1, 1, 1, 0, 0], seen);
        Array.ForEach(groups, static g => g.Dispose());
    }

    [Fact]
    public void Add_UserClosesTheFile_StaysOpenUntilDel()
    {
        (_, VfioGroup group) = _rig.AddDevice();
        int number = group.Number;
        KvmVfio vfio = _rig.CreateVfio();
        vfio.AddFile(group);
        group.Dispose();
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => _rig.Host.OpenGroup(number, Caller.Current)));
        vfio.RemoveFile(group);
        _rig.Host.OpenGroup(number, Caller.Current).Dispose();
        Assert.Equal(Errno.EBADF, ErrnoOf(() => vfio.AddFile(group)));
    }

    [Fact]
    public void Dispose_LastFileHeldOnlyHere_DeviceClosesWithoutLocksOfTheMachine()
    {
        (FakeDevice device, VfioGroup group) = _rig.AddDevice();
        KvmVfio vfio = _rig.CreateVfio();
        vfio.AddFile(group);
        VfioDeviceFile file = group.OpenDevice("fake0");
        vfio.AddFile(file);
        file.Dispose();
        group.Dispose();
        Assert.True(device.IsOpen);
        device.OnClose = () => Assert.Empty(Task.Run(() => vfio.Added).Result);
        vfio.Dispose();
        Assert.False(device.IsOpen);
    }
}
