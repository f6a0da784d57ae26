using System.Collections.Concurrent;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>A model in the driver's own process.</summary>
internal sealed class InProcessSlot : DriverSlot
{
    private readonly VfioPciCoreDevice _device;
    private readonly ConcurrentQueue<string> _log = new();

    internal InProcessSlot(IPciFunction function)
    {
        Host = new VfioHost(new VfioHostOptions { Log = _log.Enqueue });
        IommuGroup group = Host.AddIommuUnit("unit").CreateGroup();
        _device = new VfioPciCoreDevice(SlotName, function, group);
        Host.Register(_device, group);
        OpenDevice(SlotName);
    }

    public override VfioHost Host { get; }

    protected override void Close()
    {
        Host.Unregister(_device);
        _device.Dispose();
        Host.Dispose();
        Assert.Empty(_log);
    }
}
