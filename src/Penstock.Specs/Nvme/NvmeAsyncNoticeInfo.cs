namespace Penstock.Specs.Nvme;

/// <summary>Events of type notice (NVM Express base specification 1.4, section 5.2.1).</summary>
public enum NvmeAsyncNoticeInfo : byte
{
    /// <summary>A namespace came, went or changed: log page <see cref="NvmeLogId.ChangedNamespaces"/>.</summary>
    NamespaceAttributes = 0,

    /// <summary>Firmware is about to be activated.</summary>
    FirmwareActivation = 1,
}
