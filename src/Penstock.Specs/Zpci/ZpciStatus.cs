namespace Penstock.Specs.Zpci;

/// <summary>
/// What r1 says about <see cref="ZpciConditionCode.Error"/>, in <see cref="ZpciRegister.StatusShift"/>. One number means different
/// things to different instructions.
/// </summary>
public enum ZpciStatus : byte
{
    /// <summary>Nothing went wrong.</summary>
    None = 0,

    /// <summary>Loads and stores: the function is not enabled.</summary>
    FunctionNotEnabled = 4,

    /// <summary>MPCIFC: a resource is not there.</summary>
    ResourceNotAvailable = 4,

    /// <summary>RPCIT: given up; guests take it for a lack of memory.</summary>
    Aborted = 4,

    /// <summary>The function is in error.</summary>
    FunctionInError = 8,

    /// <summary>STPCIFC: the function is in error for good.</summary>
    PermanentError = 8,

    /// <summary>Loads and stores: the function is blocked.</summary>
    Blocked = 12,

    /// <summary>There are not enough resources.</summary>
    InsufficientResources = 16,

    /// <summary>Loads and stores: there is no such address space.</summary>
    InvalidAddressSpace = 20,

    /// <summary>Loads and stores: the function is enabled already.</summary>
    AlreadyEnabled = 24,

    /// <summary>MPCIFC: not in this order, or not in this state.</summary>
    SequenceError = 24,

    /// <summary>Loads and stores: the DMA address space is not enabled.</summary>
    DmaSpaceNotEnabled = 28,

    /// <summary>MPCIFC and STPCIFC: there is no such DMA address space.</summary>
    DmaSpaceInvalid = 28,

    /// <summary>MPCIFC: a frame is invalid.</summary>
    FrameInvalid = 32,

    /// <summary>Loads and stores: the second operand is in an invalid address space.</summary>
    OperandSpaceInvalid = 36,

    /// <summary>Loads and stores: the function is not available.</summary>
    FunctionNotAvailable = 40,

    /// <summary>MPCIFC, STPCIFC and RPCIT: the function is to recover from an error first.</summary>
    ErrorRecovery = 40,

    /// <summary>The function is in the requested state already.</summary>
    AlreadyInState = 44,
}
