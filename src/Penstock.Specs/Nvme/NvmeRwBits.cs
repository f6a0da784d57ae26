namespace Penstock.Specs.Nvme;

/// <summary>Bits of command dword 12 of reads, writes and their kin (NVM Express base specification 1.4, sections 6.9, 6.15, 6.16).</summary>
public static class NvmeRwBits
{
    /// <summary>NLB: number of blocks minus one.</summary>
    public const uint BlocksMask = 0xffff;

    /// <summary>DTYPE: type of directive.</summary>
    public const uint DirectiveMask = 0xf << 20;

    /// <summary>DEAC of write zeroes: the blocks may be deallocated.</summary>
    public const uint Deallocate = 1u << 25;

    /// <summary>PRINFO: protection information.</summary>
    public const uint ProtectionMask = 0xfu << 26;

    /// <summary>FUA: durable before the completion.</summary>
    public const uint ForceUnitAccess = 1u << 30;

    /// <summary>LR.</summary>
    public const uint LimitedRetry = 1u << 31;
}
