using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>A range of feature 6 (<c>vfio_device_feature_dma_logging_range</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureDmaLoggingRange
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>First I/O address.</summary>
    public ulong Iova;

    /// <summary>Length in bytes.</summary>
    public ulong Size;
}
