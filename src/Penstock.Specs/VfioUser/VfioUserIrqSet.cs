using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DEVICE_SET_IRQS; one byte per vector may follow.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserIrqSet
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 20;

    /// <summary>Size of this structure with its data.</summary>
    public uint ArgumentSize;

    /// <summary>VFIO_IRQ_SET_*.</summary>
    public uint Flags;

    /// <summary>Interrupt index.</summary>
    public uint Index;

    /// <summary>First vector.</summary>
    public uint Start;

    /// <summary>Number of vectors.</summary>
    public uint Count;
}
