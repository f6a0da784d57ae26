namespace Penstock.Specs.Vfio;

/// <summary>Region indices of PCI devices (<c>VFIO_PCI_*_REGION_INDEX</c> of linux/vfio.h).</summary>
public static class VfioRegions
{
    /// <summary>BAR 0; the other BARs follow.</summary>
    public const int Bar0 = 0;

    /// <summary>BAR 5, the last one.</summary>
    public const int Bar5 = 5;

    /// <summary>Expansion ROM.</summary>
    public const int Rom = 6;

    /// <summary>Configuration space.</summary>
    public const int Config = 7;

    /// <summary>Legacy VGA ranges.</summary>
    public const int Vga = 8;

    /// <summary>A region's offset in the device file, unless the device says otherwise, is its index shifted by this.</summary>
    public const int OffsetShift = 40;

    /// <summary>How many indices every PCI device has; device-specific regions follow.</summary>
    public const int Count = 9;
}
