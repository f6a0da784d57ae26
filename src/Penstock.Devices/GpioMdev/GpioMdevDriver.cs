using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>Makes cards out of the slices of a <see cref="GpioBank"/>; there are as many instances as slices.</summary>
/// <param name="bank">The bank.</param>
public sealed class GpioMdevDriver(GpioBank bank) : MdevDriver
{
    /// <inheritdoc/>
    public override string Name => "gpio";

    /// <inheritdoc/>
    public override string DeviceApi => MdevDeviceApi.Pci;

    /// <inheritdoc/>
    public override int MaxInstances => bank.Count;

    /// <summary>The type of its devices, for a new parent.</summary>
    /// <returns>The type.</returns>
    public static MdevType CreateType() => new("idio16", "ACCES PCI-IDIO-16");

    /// <inheritdoc/>
    protected override string Describe(MdevType type) => "16 outputs, 16 inputs, interrupt on change";

    /// <inheritdoc/>
    protected override VfioDevice Probe(MdevDevice mdev)
    {
        (int slice, Idio16Function card) = bank.Take(mdev);
        return new GpioMdevDevice(mdev, slice, card);
    }

    /// <inheritdoc/>
    protected override void Remove(MdevDevice mdev, VfioDevice device)
    {
        var card = (GpioMdevDevice)device;
        bank.Give(card.Slice);
        card.Dispose();
    }
}
