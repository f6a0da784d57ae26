namespace Penstock.Specs.Zpci;

/// <summary>What an I/O translation anchor designates (bits 4 to 2).</summary>
public enum ZpciDesignationType : byte
{
    /// <summary>A segment table.</summary>
    Segment = 0,

    /// <summary>A region third table.</summary>
    RegionThird = 1,

    /// <summary>A region second table.</summary>
    RegionSecond = 2,

    /// <summary>A region first table.</summary>
    RegionFirst = 3,

    /// <summary>A frame, by its absolute address.</summary>
    PageFrameAbsolute = 4,

    /// <summary>An I/O page frame.</summary>
    IoPageFrame = 5,

    /// <summary>An I/O page table.</summary>
    IoPageTable = 7,
}
