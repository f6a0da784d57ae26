namespace Penstock.Specs.Vfio;

/// <summary>Features of a device, <c>VFIO_DEVICE_FEATURE_*</c> of linux/vfio.h: the low 16 bits of the flags of DEVICE_FEATURE.</summary>
public enum VfioFeature : ushort
{
    /// <summary>The token that users of virtual functions must know; SET.</summary>
    PciVfToken = 0,

    /// <summary>Abilities in a migration; GET.</summary>
    Migration = 1,

    /// <summary>Migration state; GET and SET.</summary>
    MigrationDeviceState = 2,

    /// <summary>The device may sleep while no call is active; SET.</summary>
    LowPowerEntry = 3,

    /// <summary>As <see cref="LowPowerEntry"/>, and the user is told when it wakes; SET.</summary>
    LowPowerEntryWithWakeup = 4,

    /// <summary>It must not sleep any more; SET.</summary>
    LowPowerExit = 5,

    /// <summary>Begins to remember what the device writes; SET.</summary>
    DmaLoggingStart = 6,

    /// <summary>Ends that; SET.</summary>
    DmaLoggingStop = 7,

    /// <summary>What the device has written; GET.</summary>
    DmaLoggingReport = 8,

    /// <summary>How much a migration would have to move; GET.</summary>
    MigrationDataSize = 9,

    /// <summary>Bus mastering of CDX devices; SET.</summary>
    BusMaster = 10,

    /// <summary>A region as a file that other devices reach; GET.</summary>
    DmaBuf = 11,

    /// <summary>The user understands states that begin anew while they are saved; SET.</summary>
    MigrationPrecopyInfo2 = 12,

    /// <summary>Pending error record of an s390 function; GET.</summary>
    ZpciError = 13,
}
