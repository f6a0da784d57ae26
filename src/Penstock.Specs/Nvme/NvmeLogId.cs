namespace Penstock.Specs.Nvme;

/// <summary>Log pages (NVM Express base specification 1.4, section 5.14; the first one 2.0).</summary>
public enum NvmeLogId : byte
{
    /// <summary>Which pages there are.</summary>
    SupportedPages = 0x00,

    /// <summary>Error information.</summary>
    Errors = 0x01,

    /// <summary>SMART and health information.</summary>
    Smart = 0x02,

    /// <summary>Firmware slots.</summary>
    FirmwareSlots = 0x03,

    /// <summary>Changed namespaces.</summary>
    ChangedNamespaces = 0x04,

    /// <summary>Commands supported and their effects.</summary>
    CommandEffects = 0x05,

    /// <summary>Device self-test.</summary>
    SelfTest = 0x06,
}
