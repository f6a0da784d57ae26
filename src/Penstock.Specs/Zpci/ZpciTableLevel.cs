namespace Penstock.Specs.Zpci;

/// <summary>
/// Levels of I/O tables. The value is the number of address bits below an index into such a table: an entry stands for 1 shifted left
/// by it.
/// </summary>
public enum ZpciTableLevel : byte
{
    /// <summary>Page table: 256 entries of 4 KiB.</summary>
    Page = 12,

    /// <summary>Segment table: 2048 entries of 1 MiB.</summary>
    Segment = 20,

    /// <summary>Region third table: 2048 entries of 2 GiB.</summary>
    RegionThird = 31,

    /// <summary>Region second table: 2048 entries of 4 TiB.</summary>
    RegionSecond = 42,

    /// <summary>Region first table: 2048 entries of 8 PiB.</summary>
    RegionFirst = 53,
}
