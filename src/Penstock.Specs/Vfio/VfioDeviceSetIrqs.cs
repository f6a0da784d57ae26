using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>DEVICE_SET_IRQS (<c>vfio_irq_set</c> of linux/vfio.h). One byte or one descriptor of 4 bytes for each vector may follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceSetIrqs
{
    /// <summary>Length of the structure in bytes, which is also the smallest that the call accepts.</summary>
    public const int Length = 20;

    /// <summary>The descriptor that stands for no eventfd.</summary>
    public const int NoEvent = -1;

    /// <summary>Size of this structure and of what follows.</summary>
    public uint ArgumentSize;

    /// <summary>One kind of data and one action.</summary>
    public VfioIrqSetFlags Flags;

    /// <summary>Interrupt index.</summary>
    public uint Index;

    /// <summary>First vector.</summary>
    public uint Start;

    /// <summary>Number of vectors.</summary>
    public uint Count;
}
