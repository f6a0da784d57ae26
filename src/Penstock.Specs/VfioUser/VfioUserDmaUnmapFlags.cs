namespace Penstock.Specs.VfioUser;

/// <summary>Flags of DMA_UNMAP.</summary>
[Flags]
public enum VfioUserDmaUnmapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Return which pages were written.</summary>
    GetDirtyBitmap = 1,

    /// <summary>Everything; address and size are zero.</summary>
    All = 2,
}
