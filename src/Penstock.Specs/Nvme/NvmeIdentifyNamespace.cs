namespace Penstock.Specs.Nvme;

/// <summary>Identify Namespace: offsets in bytes and what stands there (NVM Express base specification 1.4, figure 249).</summary>
public static class NvmeIdentifyNamespace
{
    /// <summary>NSZE, 8 bytes, blocks.</summary>
    public const int Size = 0;

    /// <summary>NCAP, 8 bytes, blocks.</summary>
    public const int Capacity = 8;

    /// <summary>NUSE, 8 bytes, blocks.</summary>
    public const int Utilization = 16;

    /// <summary>NSFEAT, 1 byte.</summary>
    public const int Features = 24;

    /// <summary>NLBAF, 1 byte, minus one.</summary>
    public const int Formats = 25;

    /// <summary>FLBAS, 1 byte: index of the format in the low four bits.</summary>
    public const int Format = 26;

    /// <summary>MC, 1 byte.</summary>
    public const int Metadata = 27;

    /// <summary>NMIC, 1 byte.</summary>
    public const int Sharing = 30;

    /// <summary>RESCAP, 1 byte.</summary>
    public const int ReservationCapabilities = 31;

    /// <summary>DLFEAT, 1 byte.</summary>
    public const int DeallocateFeatures = 33;

    /// <summary>NAWUN, 2 bytes.</summary>
    public const int AtomicWriteNormal = 34;

    /// <summary>NAWUPF, 2 bytes.</summary>
    public const int AtomicWritePowerFail = 36;

    /// <summary>NACWU, 2 bytes.</summary>
    public const int AtomicCompareWrite = 38;

    /// <summary>NABSN, 2 bytes.</summary>
    public const int AtomicBoundary = 40;

    /// <summary>NOIOB, 2 bytes.</summary>
    public const int OptimalBoundary = 46;

    /// <summary>NVMCAP, 16 bytes, in bytes.</summary>
    public const int NvmCapacity = 48;

    /// <summary>NPWG, 2 bytes, blocks minus one.</summary>
    public const int PreferredWriteGranularity = 64;

    /// <summary>NPWA, 2 bytes, blocks minus one.</summary>
    public const int PreferredWriteAlignment = 66;

    /// <summary>NPDG, 2 bytes, blocks minus one.</summary>
    public const int PreferredDeallocateGranularity = 68;

    /// <summary>NPDA, 2 bytes, blocks minus one.</summary>
    public const int PreferredDeallocateAlignment = 70;

    /// <summary>NOWS, 2 bytes, blocks minus one.</summary>
    public const int OptimalWriteSize = 72;

    /// <summary>MSSRL, 2 bytes.</summary>
    public const int CopyRangeLength = 74;

    /// <summary>MCL, 4 bytes.</summary>
    public const int CopyLength = 76;

    /// <summary>MSRC, 1 byte.</summary>
    public const int CopyRanges = 80;

    /// <summary>NSATTR, 1 byte.</summary>
    public const int Attributes = 99;

    /// <summary>NGUID, 16 bytes, big-endian.</summary>
    public const int Nguid = 104;

    /// <summary>EUI64, 8 bytes, big-endian.</summary>
    public const int Eui64 = 120;

    /// <summary>LBAF, 64 of 4 bytes.</summary>
    public const int LbaFormats = 128;

    /// <summary>Bytes of an LBA format: metadata size, log2 of the block size, relative performance.</summary>
    public const int LbaFormatSize = 4;

    /// <summary>Where log2 of the block size stands in an LBA format.</summary>
    public const int LbaFormatBlockShift = 16;

    /// <summary>NSFEAT: the preferred sizes are valid.</summary>
    public const byte FeatureOptimalIo = 1 << 4;

    /// <summary>NSFEAT: the atomic sizes of the namespace are valid.</summary>
    public const byte FeatureAtomics = 1 << 1;

    /// <summary>NSFEAT: reads of deallocated blocks can fail.</summary>
    public const byte FeatureDeallocatedError = 1 << 2;

    /// <summary>DLFEAT: deallocated blocks read as zeroes.</summary>
    public const byte DeallocatedReadsZero = 1;

    /// <summary>DLFEAT: the bits that say how deallocated blocks read.</summary>
    public const byte DeallocatedReadsMask = 7;

    /// <summary>DLFEAT: write zeroes may deallocate.</summary>
    public const byte DeallocateByWriteZeroes = 1 << 3;

    /// <summary>NSATTR: the namespace is write protected.</summary>
    public const byte WriteProtected = 1;

    /// <summary>FLBAS: index of the format.</summary>
    public const byte FormatMask = 0xf;

    /// <summary>Length of NGUID.</summary>
    public const int NguidLength = 16;

    /// <summary>Length of EUI64.</summary>
    public const int Eui64Length = 8;
}
