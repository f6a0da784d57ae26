namespace Penstock.Specs.Nvme;

/// <summary>Events that the host wants, as in feature 0Bh and in OAES (NVM Express base specification 1.4, section 5.21.1.11).</summary>
[Flags]
public enum NvmeAsyncEventConfiguration : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>SMART: spare.</summary>
    SmartSpare = 1,

    /// <summary>SMART: temperature.</summary>
    SmartTemperature = 2,

    /// <summary>SMART: reliability.</summary>
    SmartReliability = 4,

    /// <summary>SMART: read-only.</summary>
    SmartReadOnly = 8,

    /// <summary>SMART: backup of volatile memory failed.</summary>
    SmartBackup = 0x10,

    /// <summary>All of SMART.</summary>
    SmartMask = 0xff,

    /// <summary>Namespace attributes.</summary>
    NamespaceAttributes = 0x100,

    /// <summary>Firmware activation.</summary>
    FirmwareActivation = 0x200,
}
