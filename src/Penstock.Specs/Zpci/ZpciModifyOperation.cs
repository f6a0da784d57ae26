namespace Penstock.Specs.Zpci;

/// <summary>Operation controls of MPCIFC, in the low byte of r1.</summary>
public enum ZpciModifyOperation : byte
{
    /// <summary>Register adapter interrupts.</summary>
    RegisterInterrupts = 2,

    /// <summary>Take back adapter interrupts.</summary>
    DeregisterInterrupts = 3,

    /// <summary>Register I/O address translation.</summary>
    RegisterIoat = 4,

    /// <summary>Take back I/O address translation.</summary>
    DeregisterIoat = 5,

    /// <summary>Take back and register I/O address translation.</summary>
    ReregisterIoat = 6,

    /// <summary>Leave the error state.</summary>
    ResetError = 7,

    /// <summary>Unblock loads and stores.</summary>
    ResetBlock = 9,

    /// <summary>Begin or end measurements.</summary>
    SetMeasurement = 10,

    /// <summary>Register directed interrupts.</summary>
    RegisterDirected = 16,

    /// <summary>Take back directed interrupts.</summary>
    DeregisterDirected = 17,
}
