namespace Penstock.Specs.Vfio;

/// <summary>Flags of MAP_DMA (<c>VFIO_DMA_MAP_FLAG_*</c> of linux/vfio.h).</summary>
[Flags]
public enum VfioDmaMapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Devices may read.</summary>
    Read = 1,

    /// <summary>Devices may write.</summary>
    Write = 2,

    /// <summary>Gives a mapping a new user address.</summary>
    Vaddr = 4,
}
