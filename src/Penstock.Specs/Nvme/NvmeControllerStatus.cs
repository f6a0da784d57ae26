namespace Penstock.Specs.Nvme;

/// <summary>CSTS, controller status (NVM Express base specification 1.4, section 3.1.6). All ones means that the device is gone.</summary>
/// <param name="Value">The register as it is read and written.</param>
public readonly record struct NvmeControllerStatus(uint Value)
{
    /// <summary>RDY.</summary>
    public bool Ready
    {
        get => (Value & 1u) != 0;
        init => Value = value ? Value | 1u : Value & ~1u;
    }

    /// <summary>CFS: the controller failed and must be reset.</summary>
    public bool Fatal
    {
        get => (Value & (1u << 1)) != 0;
        init => Value = value ? Value | (1u << 1) : Value & ~(1u << 1);
    }

    /// <summary>SHST.</summary>
    public NvmeShutdownStatus ShutdownStatus
    {
        get => (NvmeShutdownStatus)((Value >> 2) & 0x3u);
        init => Value = (Value & ~(0x3u << 2)) | (((uint)value & 0x3u) << 2);
    }

    /// <summary>NSSRO, write 1 to clear.</summary>
    public bool SubsystemResetOccurred
    {
        get => (Value & (1u << 4)) != 0;
        init => Value = value ? Value | (1u << 4) : Value & ~(1u << 4);
    }

    /// <summary>PP.</summary>
    public bool ProcessingPaused
    {
        get => (Value & (1u << 5)) != 0;
        init => Value = value ? Value | (1u << 5) : Value & ~(1u << 5);
    }
}
