using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>DEVICE_GET_IRQ_INFO (<c>vfio_irq_info</c> of linux/vfio.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioDeviceGetIrqInfo
{
    /// <summary>Length of the structure in bytes, which is also the smallest that the call accepts.</summary>
    public const int Length = 16;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Receives how the interrupt behaves.</summary>
    public VfioIrqFlags Flags;

    /// <summary>Interrupt index.</summary>
    public uint Index;

    /// <summary>Receives the number of vectors.</summary>
    public uint Count;
}
