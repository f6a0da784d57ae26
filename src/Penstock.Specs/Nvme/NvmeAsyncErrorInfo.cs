namespace Penstock.Specs.Nvme;

/// <summary>Events of type error (NVM Express base specification 1.4, section 5.2.1).</summary>
public enum NvmeAsyncErrorInfo : byte
{
    /// <summary>Write to the doorbell of a queue that is not there.</summary>
    AbsentDoorbell = 0,

    /// <summary>A doorbell value out of range.</summary>
    BadDoorbellValue = 1,

    /// <summary>A diagnostic failed.</summary>
    DiagnosticFailure = 2,

    /// <summary>Persistent internal error.</summary>
    PersistentInternal = 3,

    /// <summary>Transient internal error.</summary>
    TransientInternal = 4,
}
