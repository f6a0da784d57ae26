namespace Penstock.Specs.Nvme;

/// <summary>Admin commands (NVM Express base specification 1.4, section 5).</summary>
public enum NvmeAdminOpcode : byte
{
    /// <summary>Delete I/O submission queue.</summary>
    DeleteSubmissionQueue = 0x00,

    /// <summary>Create I/O submission queue.</summary>
    CreateSubmissionQueue = 0x01,

    /// <summary>Get log page: <see cref="NvmeLogId"/>.</summary>
    GetLogPage = 0x02,

    /// <summary>Delete I/O completion queue.</summary>
    DeleteCompletionQueue = 0x04,

    /// <summary>Create I/O completion queue.</summary>
    CreateCompletionQueue = 0x05,

    /// <summary>Identify: <see cref="NvmeIdentifyCns"/>.</summary>
    Identify = 0x06,

    /// <summary>Abort.</summary>
    Abort = 0x08,

    /// <summary>Set features: <see cref="NvmeFeatureId"/>.</summary>
    SetFeatures = 0x09,

    /// <summary>Get features.</summary>
    GetFeatures = 0x0a,

    /// <summary>Asynchronous event request.</summary>
    AsyncEventRequest = 0x0c,

    /// <summary>Namespace management.</summary>
    NamespaceManagement = 0x0d,

    /// <summary>Firmware commit.</summary>
    FirmwareCommit = 0x10,

    /// <summary>Firmware image download.</summary>
    FirmwareDownload = 0x11,

    /// <summary>Device self-test.</summary>
    SelfTest = 0x14,

    /// <summary>Namespace attachment.</summary>
    NamespaceAttachment = 0x15,

    /// <summary>Keep alive.</summary>
    KeepAlive = 0x18,

    /// <summary>Directive send.</summary>
    DirectiveSend = 0x19,

    /// <summary>Directive receive.</summary>
    DirectiveReceive = 0x1a,

    /// <summary>Doorbell buffer config.</summary>
    DoorbellBufferConfig = 0x7c,

    /// <summary>Fabrics; not on PCIe.</summary>
    Fabrics = 0x7f,

    /// <summary>Format NVM.</summary>
    FormatNvm = 0x80,

    /// <summary>Security send.</summary>
    SecuritySend = 0x81,

    /// <summary>Security receive.</summary>
    SecurityReceive = 0x82,

    /// <summary>Sanitize.</summary>
    Sanitize = 0x84,
}
