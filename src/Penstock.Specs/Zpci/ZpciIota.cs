namespace Penstock.Specs.Zpci;

/// <summary>Bits of an I/O translation anchor (iota). The anchor 0 stands for no translation at all.</summary>
public static class ZpciIota
{
    /// <summary>Address of the first table.</summary>
    public const ulong OriginMask = ~0x3ffful;

    /// <summary>Addresses are translated.</summary>
    public const ulong Translate = 0x800;

    /// <summary>Everything is read only.</summary>
    public const ulong Protected = 0x200;

    /// <summary>Storage key.</summary>
    public const ulong KeyMask = 0x1e0;

    /// <summary>How far the key is shifted left.</summary>
    public const int KeyShift = 5;

    /// <summary>Designation type; <see cref="ZpciDesignationType"/>.</summary>
    public const ulong TypeMask = 0x1c;

    /// <summary>How far the designation type is shifted left.</summary>
    public const int TypeShift = 2;

    /// <summary>Frame size of direct designations: 0 for 4 KiB, 1 for 1 MiB, 2 for 2 GiB.</summary>
    public const ulong FrameMask = 0x3;

    /// <summary>Flags of a region third table.</summary>
    public const ulong RegionThirdFlags = Translate | ((ulong)ZpciDesignationType.RegionThird << TypeShift);

    /// <summary>Flags of a region second table.</summary>
    public const ulong RegionSecondFlags = Translate | ((ulong)ZpciDesignationType.RegionSecond << TypeShift);

    /// <summary>Flags of a region first table.</summary>
    public const ulong RegionFirstFlags = Translate | ((ulong)ZpciDesignationType.RegionFirst << TypeShift);

    /// <summary>Flags of a segment table.</summary>
    public const ulong SegmentFlags = Translate;
}
