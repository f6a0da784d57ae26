using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Data of DEVICE_FEATURE 8; in the reply the bitmap follows, in words of 64 bits.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserDmaLoggingReport
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong Size;

    /// <summary>Bytes that one bit stands for.</summary>
    public ulong PageSize;
}
