using Penstock.Interop;
using Penstock.Pci;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Zpci;
using Penstock.Testing;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

/// <summary>An s390 host with firmware, a hypervisor and a machine, whose time the test moves; functions as the test adds them.</summary>
internal class S390Rig : IDisposable
{
    public const ulong Vector = 0x1000;
    public const ulong Summary = 0x2000;
    public const ulong MemoryLength = 0x4_0000;
    public const int Subclass = 3;

    private static readonly Caller User = new(1000, RawIo: false, LockMemory: true, ulong.MaxValue);

    private readonly List<(ZpciVfioPciDevice Device, VfioGroup Group)> _devices = [];
    private readonly List<(SimulatedVm Vm, ProcessMemory Memory)> _machines = [];

    public S390Rig(ZpciMachine? machine = null, int functions = 512, SimulatedVmOptions? options = null, TimeProvider? time = null)
    {
        Firmware = new ZpciFirmware(machine, Host.Ledger);
        S390 = new S390Hypervisor(Firmware, new S390HypervisorOptions { Functions = functions, Time = time ?? Time });
        Kvm = new SimulatedKvm(Host, S390);
        Installed = Host.Slot<IZpciVmHook>().Install(Association);
        Vm = AddVm(options);
    }

    public VfioHost Host { get; } = new();

    public ManualTime Time { get; } = new();

    public ZpciFirmware Firmware { get; }

    public S390Hypervisor S390 { get; }

    public SimulatedKvm Kvm { get; }

    public ZpciAssociation Association { get; } = new();

    public SimulatedVm Vm { get; }

    public HookRegistration<IZpciVmHook> Installed { get; }

    public Gisa Gisa => Vm.Gisa!;

    public ProcessMemory Guest => _machines[0].Memory;

    public static KvmS390ZpciOp Call(
        ZpciFunction function,
        KvmS390ZpciAenFlags flags = KvmS390ZpciAenFlags.None,
        ulong vector = Vector,
        ulong summary = Summary,
        uint count = 64,
        int subclass = Subclass,
        int summaryBit = 2) => new()
        {
            FunctionHandle = function.Handle,
            InterruptVector = vector,
            SummaryBit = summary,
            SummaryBitOffset = (byte)summaryBit,
            Interrupts = count,
            Subclass = (byte)subclass,
            Flags = flags,
        };

    public SimulatedVm AddVm(SimulatedVmOptions? options = null)
    {
        SimulatedVm vm = Kvm.CreateVm(options);
        ProcessMemory memory = ProcessMemory.Allocate(MemoryLength, Host.Ledger);
        vm.Memory.Add(new GuestMemorySlot(0, 0, MemoryLength, memory));
        _machines.Add((vm, memory));
        return vm;
    }

    public ProcessMemory MemoryOf(SimulatedVm vm) => _machines.Find(m => m.Vm == vm).Memory;

    /// <summary>A function in a group of its own, in a container with a backend.</summary>
    public ZpciVfioPciDevice AddFunction(
        ushort index = 5,
        bool hasFirmware = true,
        FakeFunction? hardware = null,
        Func<string, IPciFunction, IommuGroup, ZpciFunction, ZpciVfioPciDevice>? make = null)
    {
        var function = new ZpciFunction(0x20u + index, index) { Firmware = hasFirmware ? Firmware : null };
        IommuGroup group = Host.AddIommuUnit($"unit {index}").CreateGroup();
        make ??= static (name, hardware, group, zpci) => new ZpciVfioPciDevice(name, hardware, group, zpci);
        ZpciVfioPciDevice device = make($"{index:x4}:00:00.0", hardware ?? new FakeFunction(), group, function);
        Host.Register(device, group);
        VfioGroup file = Host.OpenGroup(group.Number, User);
        using VfioContainer container = Host.OpenContainer(User);
        file.SetContainer(container);
        container.SetIommu(Specs.Vfio.VfioIommuType.Type1V2);
        _devices.Add((device, file));
        return device;
    }

    public VfioDeviceFile Open(ZpciVfioPciDevice device, SimulatedVm? vm = null)
    {
        VfioGroup group = _devices.Find(d => d.Device == device).Group;
        group.SetHypervisor(vm ?? Vm);
        return group.OpenDevice(device.Name);
    }

    public VfioDeviceFile OpenWithoutMachine(ZpciVfioPciDevice device)
    {
        VfioGroup group = _devices.Find(d => d.Device == device).Group;
        group.SetHypervisor(null);
        return group.OpenDevice(device.Name);
    }

    public Errno Operate(KvmS390ZpciOp call, SimulatedVm? vm = null) => HypervisorRig.VmIoctl(vm ?? Vm, KvmRequest.S390ZpciOp, ref call);

    public Errno Deregister(ZpciFunction function, SimulatedVm? vm = null) =>
        Operate(new KvmS390ZpciOp { FunctionHandle = function.Handle, Operation = KvmS390ZpciOperation.DeregisterAen }, vm);

    /// <summary>Refuses one operation until told otherwise.</summary>
    public void Refuse(ZpciModifyOperation refused, ZpciStatus status = ZpciStatus.InsufficientResources) =>
        Firmware.ModifyFault = (_, operation) => operation == refused ? new ZpciAnswer(ZpciConditionCode.Error, status) : null;

    public void Refuse(ZpciSetOperation refused) =>
        Firmware.SetFault = (_, operation) => operation == refused ? ZpciClpResponse.PermanentError : null;

    public void RefuseNothing()
    {
        Firmware.ModifyFault = null;
        Firmware.SetFault = null;
    }

    public byte Byte(ulong address) => Guest.Span(address, 1)[0];

    /// <summary>The hypervisor's half is taken away from the host.</summary>
    public void Unload() => Installed.Dispose();

    public virtual void Dispose()
    {
        RefuseNothing();
        foreach ((ZpciVfioPciDevice device, VfioGroup group) in _devices)
        {
            group.Dispose();
            Host.Unregister(device);
            device.Dispose();
        }

        Installed.Dispose();
        foreach ((SimulatedVm vm, ProcessMemory memory) in _machines)
        {
            vm.Dispose();
            memory.Release();
            Assert.True(vm.IsDestroyed);
        }

        Assert.Equal(0, S390.Forwarded);
        S390.Dispose();
        Firmware.Dispose();
        Host.Dispose();
        Assert.Equal("nothing", Host.Ledger.ToString());
    }
}
