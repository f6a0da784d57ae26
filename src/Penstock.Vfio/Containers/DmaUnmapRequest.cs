using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>UNMAP_DMA as a backend gets it.</summary>
public readonly ref struct DmaUnmapRequest
{
    /// <summary>First I/O address.</summary>
    public required ulong Iova { get; init; }

    /// <summary>Size in bytes.</summary>
    public required ulong Size { get; init; }

    /// <summary>What is asked for beside.</summary>
    public required VfioDmaUnmapFlags Flags { get; init; }

    /// <summary>Where dirty pages are reported, when that is asked for.</summary>
    public DirtyBitmap Bitmap { get; init; }
}
