namespace Penstock.Specs.Nvme;

/// <summary>Identify Controller of the NVM command set, CNS 06h: offsets in bytes (NVM command set specification 1.0, figure 102).</summary>
public static class NvmeIdentifyCommandSetController
{
    /// <summary>VSL, 1 byte: log2 in pages.</summary>
    public const int VerifyLimit = 0;

    /// <summary>WZSL, 1 byte: log2 in pages; 0 no limit.</summary>
    public const int WriteZeroesLimit = 1;

    /// <summary>WUSL, 1 byte: log2 in pages.</summary>
    public const int WriteUncorrectableLimit = 2;

    /// <summary>DMRL, 1 byte: most ranges; 0 no limit.</summary>
    public const int DatasetRangesLimit = 3;

    /// <summary>DMRSL, 4 bytes: most blocks of a range; 0 no limit.</summary>
    public const int DatasetRangeSizeLimit = 4;

    /// <summary>DMSL, 8 bytes: most blocks; 0 no limit.</summary>
    public const int DatasetSizeLimit = 8;
}
