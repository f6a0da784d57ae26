using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The values of all features but the tables, as one structure: what is saved and what a reset sets anew.</summary>
internal struct NvmeFeatureValues
{
    /// <summary>Arbitration: burst and weights.</summary>
    public uint Arbitration;

    /// <summary>Power state and workload hint.</summary>
    public uint Power;

    /// <summary>Composite temperature from which it is too hot, Kelvin.</summary>
    public ushort OverTemperature;

    /// <summary>Composite temperature down to which it is too cold, Kelvin.</summary>
    public ushort UnderTemperature;

    /// <summary>Time limit of error recovery, of the namespace.</summary>
    public uint ErrorRecovery;

    /// <summary>Bit 0: the volatile write cache is on.</summary>
    public uint WriteCache;

    /// <summary>Interrupt coalescing: threshold and time.</summary>
    public uint Coalescing;

    /// <summary>Bit 0: atomicity of normal operation is not needed.</summary>
    public uint Atomicity;

    /// <summary>Events that the host wants.</summary>
    public NvmeAsyncEventConfiguration Events;

    /// <summary>Advanced command retry of host behavior.</summary>
    public byte CommandRetry;

    /// <summary>The values after a reset.</summary>
    public static NvmeFeatureValues Initial => new()
    {
        OverTemperature = ushort.MaxValue,
        WriteCache = NvmeFeatureBits.WriteCacheEnable,
    };
}
