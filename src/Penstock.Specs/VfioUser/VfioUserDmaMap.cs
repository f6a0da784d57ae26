using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DMA_MAP.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDmaMap
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Size of this structure.</summary>
    public uint ArgumentSize;

    /// <summary>Access, and how a descriptor is to be used.</summary>
    public VfioUserDmaMapFlags Flags;

    /// <summary>Offset in the descriptor's file.</summary>
    public ulong FileOffset;

    /// <summary>First address in the I/O address space.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong Size;
}
