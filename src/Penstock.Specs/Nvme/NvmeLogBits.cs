namespace Penstock.Specs.Nvme;

/// <summary>Fields of Get Log Page (NVM Express base specification 1.4, section 5.14).</summary>
public static class NvmeLogBits
{
    /// <summary>Log identifier, in dword 10.</summary>
    public const uint LogMask = 0xff;

    /// <summary>RAE in dword 10: the event stays outstanding.</summary>
    public const uint RetainEvent = 1u << 15;

    /// <summary>Where the low half of the number of dwords minus one stands in dword 10.</summary>
    public const int LengthLowShift = 16;

    /// <summary>The high half of the number of dwords minus one, in dword 11.</summary>
    public const uint LengthHighMask = 0xffff;

    /// <summary>OT in dword 14: the offset counts entries.</summary>
    public const uint OffsetIsIndex = 1u << 23;
}
