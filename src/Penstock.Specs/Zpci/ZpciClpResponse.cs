namespace Penstock.Specs.Zpci;

/// <summary>Response codes of CLP.</summary>
public enum ZpciClpResponse : ushort
{
    /// <summary>Done.</summary>
    Ok = 0x0010,

    /// <summary>There is no such command.</summary>
    UnknownCommand = 0x0020,

    /// <summary>The guest may not.</summary>
    NotAuthorized = 0x0030,

    /// <summary>There is no such format.</summary>
    BadFormat = 0x0040,

    /// <summary>The length is not that of the command.</summary>
    BadLength = 0x0050,

    /// <summary>The response needs a block of 8 KiB.</summary>
    Needs8K = 0x0060,

    /// <summary>Reserved bytes are not zero.</summary>
    ReservedNotZero = 0x0070,

    /// <summary>There are no data.</summary>
    NoData = 0x0080,

    /// <summary>There is no such function code.</summary>
    UnknownFunctionCode = 0x0100,

    /// <summary>There is no function with this handle.</summary>
    InvalidHandle = 0x0101,

    /// <summary>Not this operation on this function now.</summary>
    HandleNotValidForOperation = 0x0102,

    /// <summary>No DMA address space is asked for.</summary>
    BadDmaSpaceCount = 0x0103,

    /// <summary>More DMA address spaces are asked for than there are.</summary>
    InsufficientResources = 0x0104,

    /// <summary>The function is in this state already.</summary>
    AlreadyInState = 0x0105,

    /// <summary>The function is in error for good.</summary>
    PermanentError = 0x0106,

    /// <summary>The function is to recover first.</summary>
    RecoveryPending = 0x0107,

    /// <summary>The function is busy.</summary>
    Busy = 0x0108,

    /// <summary>The list cannot be resumed there.</summary>
    BadResumeToken = 0x010a,

    /// <summary>There is no such group.</summary>
    UnknownGroup = 0x010b,
}
