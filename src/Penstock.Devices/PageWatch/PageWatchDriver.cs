using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>Makes <see cref="PageWatchDevice"/>s.</summary>
public sealed class PageWatchDriver : MdevDriver
{
    private const int Instances = 4;

    /// <inheritdoc/>
    public override string Name => "pagewatch";

    /// <inheritdoc/>
    public override string DeviceApi => MdevDeviceApi.Pci;

    /// <inheritdoc/>
    public override int MaxInstances => Instances;

    /// <inheritdoc/>
    protected override string Describe(MdevType type) => "watches one page of its virtual machine's guest";

    /// <inheritdoc/>
    protected override VfioDevice Probe(MdevDevice mdev) => new PageWatchDevice(mdev);

    /// <inheritdoc/>
    protected override void Remove(MdevDevice mdev, VfioDevice device) => ((PageWatchDevice)device).Dispose();
}
