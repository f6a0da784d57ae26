using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 8 (<c>vfio_device_feature_dma_logging_report</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureDmaLoggingReport
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Smallest page size that can be asked for.</summary>
    public const ulong SmallestPage = 4096;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong Size;

    /// <summary>Bytes that one bit stands for: a power of two, at least 4096.</summary>
    public ulong PageSize;

    /// <summary>Address of the bitmap, in words of 64 bits; bits are set, never cleared.</summary>
    public ulong Bitmap;
}
