namespace Penstock.Specs.Nvme;

/// <summary>Fields of Set Features and Get Features (NVM Express base specification 1.4, sections 5.9, 5.21).</summary>
public static class NvmeFeatureBits
{
    /// <summary>Feature identifier, in dword 10.</summary>
    public const uint FeatureMask = 0xff;

    /// <summary>Where <see cref="NvmeFeatureSelect"/> stands in dword 10 of Get Features.</summary>
    public const int SelectShift = 8;

    /// <summary>Its bits after the shift.</summary>
    public const uint SelectMask = 7;

    /// <summary>SV in dword 10 of Set Features.</summary>
    public const uint Save = 1u << 31;

    /// <summary>What arbitration has.</summary>
    public const uint ArbitrationMask = 0xffffff07;

    /// <summary>PS of power management.</summary>
    public const uint PowerStateMask = 0x1f;

    /// <summary>What power management has.</summary>
    public const uint PowerMask = 0xff;

    /// <summary>Kelvin of the temperature threshold.</summary>
    public const uint TemperatureMask = 0xffff;

    /// <summary>Where the sensor stands in the temperature threshold.</summary>
    public const int SensorShift = 16;

    /// <summary>Its bits after the shift; 15 is all of them in Set Features.</summary>
    public const uint SensorMask = 0xf;

    /// <summary>Where the type stands: 0 over, 1 under.</summary>
    public const int ThresholdTypeShift = 20;

    /// <summary>Its bits after the shift.</summary>
    public const uint ThresholdTypeMask = 3;

    /// <summary>TLER and DULBE of error recovery.</summary>
    public const uint ErrorRecoveryMask = 0x1ffff;

    /// <summary>DULBE: reads of deallocated blocks fail.</summary>
    public const uint DeallocatedError = 1u << 16;

    /// <summary>WCE of the volatile write cache.</summary>
    public const uint WriteCacheEnable = 1;

    /// <summary>Threshold and time of interrupt coalescing.</summary>
    public const uint CoalescingMask = 0xffff;

    /// <summary>Vector of the interrupt vector configuration.</summary>
    public const uint VectorMask = 0xffff;

    /// <summary>CD of the interrupt vector configuration.</summary>
    public const uint VectorCoalescingDisable = 1u << 16;

    /// <summary>DN of write atomicity.</summary>
    public const uint AtomicityDisable = 1;

    /// <summary>Bytes of host behavior support.</summary>
    public const int HostBehaviorSize = 512;

    /// <summary>Bytes of a timestamp.</summary>
    public const int TimestampSize = 8;
}
