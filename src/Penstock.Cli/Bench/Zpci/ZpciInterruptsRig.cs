using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Kvm;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Cli.Bench;

/// <summary>A zPCI function whose interruptions are forwarded to a machine that runs, with or without the help of firmware.</summary>
internal sealed class ZpciInterruptsRig : IDisposable
{
    private const ulong Vector = 0x1000;
    private const ulong Summary = 0x2000;
    private const ulong MemorySize = 0x4000;
    private const uint Vectors = 64;

    private readonly VfioHost _host = new();
    private readonly ZpciFirmware _firmware = new();
    private readonly S390Hypervisor _s390;
    private readonly SimulatedVm _machine;
    private readonly ProcessMemory _memory = ProcessMemory.Allocate(MemorySize);
    private readonly ZpciVfioPciDevice _device;
    private readonly HookRegistration<IZpciVmHook> _hook;
    private readonly VfioGroup _group;
    private readonly VfioDeviceFile _file;
    private readonly IrqBypassProducer _producer;
    private readonly AifBypassAdapter _adapter;

    public ZpciInterruptsRig(bool byHost)
    {
        _s390 = new S390Hypervisor(_firmware);
        _machine = new SimulatedKvm(_host, _s390).CreateVm();
        _machine.Memory.Add(new GuestMemorySlot(0, 0, MemorySize, _memory));
        _hook = _host.Slot<IZpciVmHook>().Install(new ZpciAssociation());
        IommuGroup group = _host.AddIommuUnit("bench").CreateGroup();
        Function = new ZpciFunction(1, 1) { Firmware = _firmware };
        _device = new ZpciVfioPciDevice("0001:00:00.0", new BenchFunction(), group, Function);
        _host.Register(_device, group);
        _group = _host.OpenGroup(group.Number, BenchUser.Anybody);
        using (VfioContainer container = _host.OpenContainer(BenchUser.Anybody))
        {
            _group.SetContainer(container);
            container.SetIommu(VfioIommuType.Type1V2);
        }

        _group.SetHypervisor(_machine);
        _file = _group.OpenDevice(_device.Name);
        _machine.Zpci.Operate(new KvmS390ZpciOp
        {
            FunctionHandle = Function.Handle,
            InterruptVector = Vector,
            SummaryBit = Summary,
            Interrupts = Vectors,
            Flags = byHost ? KvmS390ZpciAenFlags.Host : KvmS390ZpciAenFlags.None,
        });
        Event = EventDescriptor.Create();
        _producer = new IrqBypassProducer(Event.Identity, 0);
        _host.IrqBypass.Register(_producer);
        _adapter = new AifBypassAdapter(_host.IrqBypass, Event, _machine.Zpci.All[0].Interrupts!, 0);

        // A processor that runs takes its interruptions itself: nobody has to be woken.
        _machine.Processors.Enter();
    }

    public ZpciFunction Function { get; }

    public EventDescriptor Event { get; }

    /// <summary>How often the host was interrupted.</summary>
    public long HostInterrupts => _firmware.Raised;

    public bool Bypass() => _producer.TryDeliver();

    /// <summary>What the guest does with an interruption: it takes what is pending, clears its summary, looks at the vector.</summary>
    public void Take()
    {
        _machine.Processors.Take();
        IndicatorBits.TestAndClear(_memory.DirectAddress + (nint)Summary, 0);
        IndicatorBits.TestAndClear(_memory.DirectAddress + (nint)Vector, 0);
    }

    public void Dispose()
    {
        _machine.Processors.Leave();
        _adapter.Dispose();
        _host.IrqBypass.Unregister(_producer);
        Event.Dispose();
        _file.Dispose();
        _group.Dispose();
        _host.Unregister(_device);
        _device.Dispose();
        _hook.Dispose();
        _machine.Dispose();
        _memory.Release();
        _s390.Dispose();
        _firmware.Dispose();
        _host.Dispose();
    }
}
