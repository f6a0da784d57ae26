using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>What follows DMA_UNMAP that asks for a dirty bitmap, in the request and in the reply, where the bitmap comes behind it.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserBitmap
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Bytes that one bit stands for.</summary>
    public ulong PageSize;

    /// <summary>Length of the bitmap in bytes.</summary>
    public ulong Size;
}
