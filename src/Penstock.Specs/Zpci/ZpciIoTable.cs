namespace Penstock.Specs.Zpci;

/// <summary>I/O translation tables: geometry and the bits of their big-endian entries of 8 bytes.</summary>
public static class ZpciIoTable
{
    /// <summary>Bytes of an entry.</summary>
    public const int EntrySize = 8;

    /// <summary>Entries of a page table.</summary>
    public const int PageEntries = 256;

    /// <summary>Entries of a segment table and of a region table.</summary>
    public const int TableEntries = 2048;

    /// <summary>Log2 of <see cref="TableEntries"/>: how many address bits a segment or region level takes.</summary>
    public const int LevelBits = 11;

    /// <summary>Bytes of a page table; also its alignment.</summary>
    public const int PageTableSize = PageEntries * EntrySize;

    /// <summary>Bytes of a segment table or region table; also its alignment.</summary>
    public const int TableSize = TableEntries * EntrySize;

    /// <summary>Bytes of a page.</summary>
    public const ulong PageSize = 1ul << (int)ZpciTableLevel.Page;

    /// <summary>Bytes of a segment, and of a large frame.</summary>
    public const ulong SegmentSize = 1ul << (int)ZpciTableLevel.Segment;

    /// <summary>Region entry: the table it leads to.</summary>
    public const ulong RegionOrigin = ~0x3ffful;

    /// <summary>Segment entry: the page table it leads to.</summary>
    public const ulong SegmentOrigin = ~0x7fful;

    /// <summary>Segment entry with <see cref="LargeFrame"/>: the frame.</summary>
    public const ulong SegmentFrame = ~(SegmentSize - 1);

    /// <summary>Page entry: the page.</summary>
    public const ulong PageFrame = ~(PageSize - 1);

    /// <summary>Any entry: what it leads to is read only.</summary>
    public const ulong Protected = 0x200;

    /// <summary>Region and segment entry: it leads nowhere.</summary>
    public const ulong TableInvalid = 0x20;

    /// <summary>Page entry: it leads nowhere.</summary>
    public const ulong PageInvalid = 0x400;

    /// <summary>Segment entry: it leads to a frame of 1 MiB (format control).</summary>
    public const ulong LargeFrame = 0x400;

    /// <summary>Region entry: offset of the table's first entry; must be 0.</summary>
    public const ulong OffsetMask = 0xc0;

    /// <summary>Region and segment entry: level.</summary>
    public const ulong TypeMask = 0x0c;

    /// <summary>Type of a region first entry.</summary>
    public const ulong TypeRegionFirst = 0x0c;

    /// <summary>Type of a region second entry.</summary>
    public const ulong TypeRegionSecond = 0x08;

    /// <summary>Type of a region third entry.</summary>
    public const ulong TypeRegionThird = 0x04;

    /// <summary>Type of a segment entry.</summary>
    public const ulong TypeSegment = 0;

    /// <summary>Distance of the types of two levels.</summary>
    public const ulong TypeStep = 0x04;

    /// <summary>Region entry: length of the table; must be all ones.</summary>
    public const ulong LengthMask = 0x03;
}
