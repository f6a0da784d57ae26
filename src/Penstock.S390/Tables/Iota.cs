using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>An I/O translation anchor: where a function's tables begin and of which kind the first is (zPCI architecture, I/O translation).</summary>
/// <param name="Value">As the guest gave it.</param>
public readonly record struct Iota(ulong Value)
{
    /// <summary>Address of the first table; the low 14 bits never belong to it.</summary>
    public ulong Origin => Value & ZpciIota.OriginMask;

    /// <summary>What is designated.</summary>
    public ZpciDesignationType DesignationType => (ZpciDesignationType)((Value & ZpciIota.TypeMask) >> ZpciIota.TypeShift);

    /// <summary>Whether addresses are translated.</summary>
    public bool IsTranslating => (Value & ZpciIota.Translate) != 0;

    /// <summary>Whether everything is read only.</summary>
    public bool IsProtected => (Value & ZpciIota.Protected) != 0;

    /// <summary>Storage key.</summary>
    public byte StorageKey => (byte)((Value & ZpciIota.KeyMask) >> ZpciIota.KeyShift);

    /// <summary>Whether a table is designated, and not a frame or nothing.</summary>
    public bool HasTable => IsTranslating && DesignationType <= ZpciDesignationType.RegionFirst;

    /// <summary>Level of the first table; meaningless without <see cref="HasTable"/>.</summary>
    public ZpciTableLevel Level => ZpciTableLevel.Segment + (byte)((byte)DesignationType * ZpciIoTable.LevelBits);

    /// <summary>Last address that the first table covers.</summary>
    public ulong LastAddress => ulong.MaxValue >> Math.Max(0, 64 - ((int)Level + ZpciIoTable.LevelBits));

    /// <summary>The anchor of a table.</summary>
    /// <param name="origin">Address of the table, a multiple of its size.</param>
    /// <param name="type">Its kind: one of the four tables.</param>
    /// <returns>The anchor.</returns>
    public static Iota Of(ulong origin, ZpciDesignationType type) =>
        new((origin & ZpciIota.OriginMask) | ZpciIota.Translate | ((ulong)type << ZpciIota.TypeShift));
}
