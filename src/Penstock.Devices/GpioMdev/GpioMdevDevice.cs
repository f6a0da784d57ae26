using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>A slice of a bank as a card.</summary>
internal sealed class GpioMdevDevice(MdevDevice mdev, int slice, Idio16Function card) : MediatedPciDevice(mdev, card)
{
    internal int Slice => slice;
}
