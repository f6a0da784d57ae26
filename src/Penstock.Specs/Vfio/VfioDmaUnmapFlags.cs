namespace Penstock.Specs.Vfio;

/// <summary>Flags of UNMAP_DMA (<c>VFIO_DMA_UNMAP_FLAG_*</c> of linux/vfio.h).</summary>
[Flags]
public enum VfioDmaUnmapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Reports what is dirty in what goes.</summary>
    GetDirtyBitmap = 1,

    /// <summary>Everything.</summary>
    All = 2,

    /// <summary>Only takes the user address of mappings away.</summary>
    Vaddr = 4,
}
