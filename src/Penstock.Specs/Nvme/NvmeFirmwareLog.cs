namespace Penstock.Specs.Nvme;

/// <summary>The firmware slot log: offsets in bytes (NVM Express base specification 1.4, figure 196).</summary>
public static class NvmeFirmwareLog
{
    /// <summary>AFI, 1 byte: active slot in bits 2 to 0, the next one in bits 6 to 4.</summary>
    public const int Active = 0;

    /// <summary>FRS1, 8 bytes of ASCII; the other slots follow.</summary>
    public const int Slot1 = 8;

    /// <summary>Length of the page in bytes.</summary>
    public const int Length = 512;
}
