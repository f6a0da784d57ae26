using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>Functions tied to simulated machines, and the machine's own operations on them.</summary>
public sealed class ZpciAssociationTests : IDisposable
{
    private const uint Designation = 0x1000;

    private readonly HypervisorRig _rig = new(new SimulatedVmOptions { ZpciDesignation = Designation });
    private readonly ZpciAssociation _association = new();
    private readonly HookRegistration<IZpciVmHook> _installed;
    private readonly ZpciFunction _function = new(0x23, index: 5);
    private readonly ZpciVfioPciDevice _device;
    private readonly VfioGroup _group;

    public ZpciAssociationTests()
    {
        _installed = _rig.Host.Slot<IZpciVmHook>().Install(_association);
        IommuGroup group = _rig.Host.AddIommuUnit("unit").CreateGroup();
        _device = new ZpciVfioPciDevice("0000:05:00.0", new FakeFunction(), group, _function);
        _rig.Host.Register(_device, group);
        _group = _rig.Ready(group);
    }

    public void Dispose()
    {
        _group.Dispose();
        _rig.Host.Unregister(_device);
        _device.Dispose();
        _installed.Dispose();
        _rig.Dispose();
    }

    [Fact]
    [Trait("Row", "S0-2")]
    public void Register_DeviceOpenedByAMachinesUser_OneTieUntilItIsClosed()
    {
        uint before = _function.Handle;
        _group.SetHypervisor(_rig.Vm);
        using (VfioDeviceFile file = _group.OpenDevice(_device.Name))
        {
            KvmZdev tie = Assert.Single(_rig.Vm.Zpci.All);
            Assert.Same(_device, tie.Device);
            Assert.Same(_rig.Vm, tie.Machine);
            Assert.True(tie.IsInterpreted);
            Assert.Equal(Designation, _function.Designation);
            Assert.NotEqual(before, _function.Handle);
            Assert.Equal(Errno.EINVAL, HypervisorRig.ErrnoOf(() => _association.Register(_device, _rig.Vm)));
            using VfioDeviceFile again = _group.OpenDevice(_device.Name);
            Assert.Single(_rig.Vm.Zpci.All);
        }

        Assert.Empty(_rig.Vm.Zpci.All);
        Assert.True(_function.IsEnabled);
        Assert.Equal(0u, _function.Designation);
    }

    [Fact]
    [Trait("Row", "S0-2")]
    public void Register_MachineWithoutInterpretation_TiedWithTheHandleItHas()
    {
        using SimulatedVm plain = _rig.Kvm.CreateVm();
        uint before = _function.Handle;
        _group.SetHypervisor(plain);
        using (VfioDeviceFile file = _group.OpenDevice(_device.Name))
        {
            Assert.False(Assert.Single(plain.Zpci.All).IsInterpreted);
            Assert.Equal(before, _function.Handle);
            Assert.Equal(Errno.EINVAL, Operate(plain, new KvmS390ZpciOp { FunctionHandle = before }));
        }

        Assert.Empty(plain.Zpci.All);
        Assert.Equal(before, _function.Handle);
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_HandleOfNoneOrOfAnotherMachine_ENODEV()
    {
        using SimulatedVm other = _rig.Kvm.CreateVm(new SimulatedVmOptions { ZpciDesignation = 2 * Designation });
        uint before = _function.Handle;
        _group.SetHypervisor(_rig.Vm);
        using VfioDeviceFile file = _group.OpenDevice(_device.Name);
        Assert.Equal(Errno.ENODEV, Operate(_rig.Vm, new KvmS390ZpciOp { FunctionHandle = 0 }));
        Assert.Equal(Errno.ENODEV, Operate(_rig.Vm, new KvmS390ZpciOp { FunctionHandle = before }));
        Assert.Equal(Errno.ENODEV, Operate(other, new KvmS390ZpciOp { FunctionHandle = _function.Handle }));
        Assert.NotEqual(Errno.ENODEV, Operate(_rig.Vm, new KvmS390ZpciOp { FunctionHandle = _function.Handle }));
    }

    [Fact]
    [Trait("Row", "S0-6")]
    public void ZpciOp_UnknownOperationOrFlag_EINVAL()
    {
        _group.SetHypervisor(_rig.Vm);
        using VfioDeviceFile file = _group.OpenDevice(_device.Name);
        uint handle = _function.Handle;
        Assert.Equal(Errno.EINVAL, Operate(_rig.Vm, new KvmS390ZpciOp { FunctionHandle = handle, Operation = (KvmS390ZpciOperation)2 }));
        Assert.Equal(Errno.EINVAL, Operate(_rig.Vm, new KvmS390ZpciOp { FunctionHandle = handle, Flags = (KvmS390ZpciAenFlags)2 }));
    }

    [Fact]
    public void Register_StrangeMachine_OpenFailsWithItsErrorAndNothingIsLeft()
    {
        uint before = _function.Handle;
        _group.SetHypervisor(new StrangeMachine());
        Assert.Equal(Errno.EINVAL, HypervisorRig.ErrnoOf(() => _group.OpenDevice(_device.Name)));
        Assert.Equal(before, _function.Handle);
        Assert.False(_device.IsOpen);
    }

    private static Errno Operate(SimulatedVm machine, KvmS390ZpciOp call) => HypervisorRig.VmIoctl(machine, KvmRequest.S390ZpciOp, ref call);

    private sealed class StrangeMachine : IHypervisor
    {
        public bool TryAcquire() => true;

        public void Release()
        {
        }
    }
}
