using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DMA_UNMAP.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDmaUnmap
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>Largest reply that the client takes.</summary>
    public uint ArgumentSize;

    /// <summary>What to do.</summary>
    public VfioUserDmaUnmapFlags Flags;

    /// <summary>First address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong Size;
}
