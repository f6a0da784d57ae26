namespace Penstock.Specs.Zpci;

/// <summary>Limits and usual values of zPCI, as QEMU's own group has them where the architecture leaves them open.</summary>
public static class ZpciLimits
{
    /// <summary>Shortest CLP request in bytes.</summary>
    public const int MinimumClpRequest = 16;

    /// <summary>Longest CLP request in bytes.</summary>
    public const int MaximumClpRequest = 8184;

    /// <summary>Shortest CLP response in bytes.</summary>
    public const int MinimumClpResponse = 8;

    /// <summary>Longest CLP response in bytes.</summary>
    public const int MaximumClpResponse = 8176;

    /// <summary>Longest CLP block, request and response together, in bytes.</summary>
    public const int MaximumClpBlock = 8192;

    /// <summary>Lengths of CLP requests and responses are multiples of it.</summary>
    public const int ClpAlignment = 8;

    /// <summary>Length of every known CLP request in bytes.</summary>
    public const int ClpRequest = 32;

    /// <summary>Most functions that LIST PCI speaks of.</summary>
    public const int MaximumFunctions = 4096;

    /// <summary>Group of functions that have none of the host.</summary>
    public const byte DefaultGroup = 0xff;

    /// <summary>First id of groups that stand for those of the host; <see cref="LastSimulatedGroup"/> is the last.</summary>
    public const byte FirstSimulatedGroup = 0xf0;

    /// <summary>Last id of groups that stand for those of the host.</summary>
    public const byte LastSimulatedGroup = 0xfe;

    /// <summary>Usual address of messages.</summary>
    public const ulong MsiAddress = 0xfe00_0000_0000_0000;

    /// <summary>The vector in the data of a message.</summary>
    public const uint MsiVectorMask = 0x7ff;

    /// <summary>Usual interval of measurements in ms.</summary>
    public const ushort MeasurementInterval = 4000;

    /// <summary>Usual number of interrupts.</summary>
    public const ushort Interrupts = 128;

    /// <summary>Usual longest store of a block in bytes.</summary>
    public const ushort MaximumStore = 128;

    /// <summary>Usual first address of DMA.</summary>
    public const ulong StartDma = 0x1_0000_0000;

    /// <summary>Usual last address of DMA.</summary>
    public const ulong EndDma = 0x01ff_ffff_ffff_ffff;

    /// <summary>Guest facility bit of zPCI.</summary>
    public const int FacilityZpci = 69;

    /// <summary>Guest facility bit of adapter event notification.</summary>
    public const int FacilityAdapterEvents = 71;

    /// <summary>Guest facility bit of interruption suppression.</summary>
    public const int FacilityInterruptionSuppression = 72;
}
