namespace Penstock.Specs.Nvme;

/// <summary>Features (NVM Express base specification 1.4, section 5.21).</summary>
public enum NvmeFeatureId : byte
{
    /// <summary>Arbitration.</summary>
    Arbitration = 0x01,

    /// <summary>Power management.</summary>
    PowerManagement = 0x02,

    /// <summary>LBA range type.</summary>
    LbaRangeType = 0x03,

    /// <summary>Temperature threshold.</summary>
    TemperatureThreshold = 0x04,

    /// <summary>Error recovery, of a namespace.</summary>
    ErrorRecovery = 0x05,

    /// <summary>Volatile write cache.</summary>
    VolatileWriteCache = 0x06,

    /// <summary>Number of queues.</summary>
    NumberOfQueues = 0x07,

    /// <summary>Interrupt coalescing.</summary>
    InterruptCoalescing = 0x08,

    /// <summary>Interrupt vector configuration.</summary>
    InterruptVectorConfiguration = 0x09,

    /// <summary>Write atomicity normal.</summary>
    WriteAtomicity = 0x0a,

    /// <summary>Asynchronous event configuration: <see cref="NvmeAsyncEventConfiguration"/>.</summary>
    AsyncEventConfiguration = 0x0b,

    /// <summary>Autonomous power state transition.</summary>
    AutonomousPowerState = 0x0c,

    /// <summary>Host memory buffer.</summary>
    HostMemoryBuffer = 0x0d,

    /// <summary>Timestamp.</summary>
    Timestamp = 0x0e,

    /// <summary>Keep alive timer.</summary>
    KeepAliveTimer = 0x0f,

    /// <summary>Host behavior support.</summary>
    HostBehavior = 0x16,

    /// <summary>Host identifier.</summary>
    HostIdentifier = 0x81,
}
