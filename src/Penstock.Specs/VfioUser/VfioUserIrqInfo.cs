using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DEVICE_GET_IRQ_INFO, request and reply.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserIrqInfo
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Largest reply that the client takes; in a reply the size of a full one.</summary>
    public uint ArgumentSize;

    /// <summary>VFIO_IRQ_INFO_*.</summary>
    public uint Flags;

    /// <summary>Interrupt index.</summary>
    public uint Index;

    /// <summary>Number of vectors.</summary>
    public uint Count;
}
