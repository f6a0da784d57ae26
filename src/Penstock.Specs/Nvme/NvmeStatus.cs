namespace Penstock.Specs.Nvme;

/// <summary>
/// Status of a command: the status code type shifted left by 8, with the status code, and flags above (NVM Express base specification 1.4,
/// section 4.6.1). Shifted left by one it stands in the completion.
/// </summary>
public enum NvmeStatus : ushort
{
    /// <summary>Done.</summary>
    Success = 0,

    /// <summary>No such command.</summary>
    InvalidOpcode = 0x001,

    /// <summary>A field of the command is wrong.</summary>
    InvalidField = 0x002,

    /// <summary>The CID is in use.</summary>
    CommandIdConflict = 0x003,

    /// <summary>Data or a list could not be transferred.</summary>
    DataTransferError = 0x004,

    /// <summary>Aborted, power is going.</summary>
    AbortedByPowerLoss = 0x005,

    /// <summary>The controller failed.</summary>
    InternalError = 0x006,

    /// <summary>Abort ended it.</summary>
    AbortedByRequest = 0x007,

    /// <summary>Its submission queue was deleted.</summary>
    AbortedQueueDeleted = 0x008,

    /// <summary>The other half of the fused pair failed.</summary>
    FailedFused = 0x009,

    /// <summary>The other half of the fused pair is missing.</summary>
    MissingFused = 0x00a,

    /// <summary>The namespace or its format is wrong.</summary>
    InvalidNamespace = 0x00b,

    /// <summary>Out of order.</summary>
    CommandSequenceError = 0x00c,

    /// <summary>Bad SGL segment descriptor.</summary>
    InvalidSglSegment = 0x00d,

    /// <summary>Bad number of SGL descriptors.</summary>
    InvalidSglCount = 0x00e,

    /// <summary>The data SGL is too short.</summary>
    InvalidSglLength = 0x00f,

    /// <summary>No such SGL descriptor type.</summary>
    InvalidSglType = 0x011,

    /// <summary>Bad use of the controller memory buffer.</summary>
    InvalidMemoryBufferUse = 0x012,

    /// <summary>A PRP has an offset that it must not have.</summary>
    InvalidPrpOffset = 0x013,

    /// <summary>Denied.</summary>
    OperationDenied = 0x015,

    /// <summary>The namespace is write protected.</summary>
    NamespaceWriteProtected = 0x020,

    /// <summary>Interrupted; the host may retry.</summary>
    CommandInterrupted = 0x021,

    /// <summary>Beyond the end of the namespace.</summary>
    LbaOutOfRange = 0x080,

    /// <summary>No capacity left.</summary>
    CapacityExceeded = 0x081,

    /// <summary>The namespace is not ready.</summary>
    NamespaceNotReady = 0x082,

    /// <summary>No such completion queue.</summary>
    InvalidCompletionQueue = 0x100,

    /// <summary>The queue identifier is wrong.</summary>
    InvalidQueueId = 0x101,

    /// <summary>The queue size is wrong.</summary>
    InvalidQueueSize = 0x102,

    /// <summary>Too many aborts.</summary>
    AbortLimitExceeded = 0x103,

    /// <summary>Too many asynchronous event requests.</summary>
    EventLimitExceeded = 0x105,

    /// <summary>No such firmware slot.</summary>
    InvalidFirmwareSlot = 0x106,

    /// <summary>No such vector.</summary>
    InvalidInterruptVector = 0x108,

    /// <summary>No such log page.</summary>
    InvalidLogPage = 0x109,

    /// <summary>No such format.</summary>
    InvalidFormat = 0x10a,

    /// <summary>A submission queue still uses it.</summary>
    InvalidQueueDeletion = 0x10c,

    /// <summary>The feature cannot be saved.</summary>
    FeatureNotSaveable = 0x10d,

    /// <summary>The feature cannot be changed.</summary>
    FeatureNotChangeable = 0x10e,

    /// <summary>The feature is not one of a namespace.</summary>
    FeatureNotNamespaceSpecific = 0x10f,

    /// <summary>Ranges overlap.</summary>
    OverlappingRange = 0x114,

    /// <summary>Attributes contradict each other.</summary>
    ConflictingAttributes = 0x180,

    /// <summary>Write to a range that is read-only.</summary>
    ReadOnlyRange = 0x182,

    /// <summary>Larger than a limit of the namespace.</summary>
    CommandSizeLimitExceeded = 0x183,

    /// <summary>The medium did not take the data.</summary>
    WriteFault = 0x280,

    /// <summary>The medium did not give the data.</summary>
    UnrecoveredReadError = 0x281,

    /// <summary>The data differs.</summary>
    CompareFailure = 0x285,

    /// <summary>Access denied.</summary>
    AccessDenied = 0x286,

    /// <summary>Read of a deallocated block.</summary>
    DeallocatedBlock = 0x287,

    /// <summary>Type and code, without the flags below.</summary>
    CodeMask = 0x7ff,

    /// <summary>Flag M: the error log has more.</summary>
    More = 0x2000,

    /// <summary>Flag DNR: the same command would fail again.</summary>
    DoNotRetry = 0x4000,
}
