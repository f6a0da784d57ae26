using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DMA_READ and DMA_WRITE, before the data, and of their replies.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDmaAccess
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Length of the reply to DMA_WRITE where a peer follows the published table, whose count has 4 bytes there.</summary>
    public const int ShortReplyLength = 12;

    /// <summary>Address in the client's I/O address space.</summary>
    public ulong Iova;

    /// <summary>Number of bytes.</summary>
    public ulong Count;
}
