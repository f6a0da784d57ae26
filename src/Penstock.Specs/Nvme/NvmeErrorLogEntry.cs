namespace Penstock.Specs.Nvme;

/// <summary>An entry of the error log: offsets in bytes (NVM Express base specification 1.4, figure 194).</summary>
public static class NvmeErrorLogEntry
{
    /// <summary>8 bytes: number of the error, from 1 on; 0 for an empty entry.</summary>
    public const int Count = 0;

    /// <summary>2 bytes.</summary>
    public const int SubmissionQueueId = 8;

    /// <summary>2 bytes.</summary>
    public const int CommandId = 10;

    /// <summary>2 bytes, as in the completion.</summary>
    public const int Status = 12;

    /// <summary>2 bytes: byte of the command in bits 7 to 0, bit in bits 10 to 8.</summary>
    public const int ParameterLocation = 14;

    /// <summary>8 bytes: first block.</summary>
    public const int Lba = 16;

    /// <summary>4 bytes.</summary>
    public const int NamespaceId = 24;

    /// <summary>1 byte.</summary>
    public const int VendorLog = 28;

    /// <summary>1 byte.</summary>
    public const int TransportType = 29;

    /// <summary>8 bytes.</summary>
    public const int CommandSpecific = 32;

    /// <summary>Length of the entry in bytes.</summary>
    public const int Length = 64;
}
