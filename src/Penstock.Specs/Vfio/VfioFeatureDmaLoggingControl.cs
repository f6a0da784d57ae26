using System.Runtime.InteropServices;

namespace Penstock.Specs.Vfio;

/// <summary>Data of feature 6 (<c>vfio_device_feature_dma_logging_control</c>).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioFeatureDmaLoggingControl
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 24;

    /// <summary>The most ranges that are accepted: as many as fit into 4096 bytes.</summary>
    public const uint MaximumRanges = 4096 / VfioFeatureDmaLoggingRange.Length;

    /// <summary>Bytes that the user would like one bit to stand for; answered with what the device has chosen.</summary>
    public ulong PageSize;

    /// <summary>Number of ranges.</summary>
    public uint RangeCount;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>Address of the ranges.</summary>
    public ulong Ranges;
}
