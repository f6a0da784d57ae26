using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests;

/// <summary>A PCI device that is open for a machine's user.</summary>
internal sealed class PciRig : IDisposable
{
    private readonly VfioPciCoreDevice _device;
    private readonly VfioGroup _group;

    public PciRig(SimulatedVmOptions? options = null)
    {
        Machine = new HypervisorRig(options);
        IommuGroup group = Machine.Host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice("0000:01:00.0", Function, group);
        Machine.Host.Register(_device, group);
        _group = Machine.Ready(group);
        File = _group.OpenDevice("0000:01:00.0");
        File.Write(VfioRegions.Config, PciConfigOffsets.Command, [(byte)(PciCommand.BusMaster | PciCommand.Memory), 0], out _);
    }

    public HypervisorRig Machine { get; }

    public SimulatedVm Vm => Machine.Vm;

    public FakeFunction Function { get; } = new();

    public VfioDeviceFile File { get; }

    public void Bind(int index, VfioIrqSetFlags action, params EventDescriptor?[] events) => File.SetIrqs(new VfioIrqRequest
    {
        Flags = VfioIrqSetFlags.DataEventfd | action,
        Index = (uint)index,
        Count = (uint)events.Length,
        Events = events,
    });

    public void Dispose()
    {
        File.Dispose();
        _group.Dispose();
        _device.Dispose();
        Machine.Dispose();
        Assert.Equal(0, Machine.Host.IrqBypass.Producers);
    }
}
