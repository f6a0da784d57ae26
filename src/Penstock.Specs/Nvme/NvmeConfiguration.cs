namespace Penstock.Specs.Nvme;

/// <summary>CC, controller configuration (NVM Express base specification 1.4, section 3.1.5).</summary>
/// <param name="Value">The register as it is read and written.</param>
public readonly record struct NvmeConfiguration(uint Value)
{
    /// <summary>The bits that mean something without ready times of their own.</summary>
    public const uint Defined = 0x00fffff1;

    /// <summary>EN.</summary>
    public bool Enabled
    {
        get => (Value & 1u) != 0;
        init => Value = value ? Value | 1u : Value & ~1u;
    }

    /// <summary>CSS: 0 the NVM command set, 6 all supported, 7 admin only.</summary>
    public uint CommandSet
    {
        get => (uint)((Value >> 4) & 0x7u);
        init => Value = (Value & ~(0x7u << 4)) | (((uint)value & 0x7u) << 4);
    }

    /// <summary>MPS: the page is 4096 shifted left by this.</summary>
    public int PageShift
    {
        get => (int)((Value >> 7) & 0xfu);
        init => Value = (Value & ~(0xfu << 7)) | (((uint)value & 0xfu) << 7);
    }

    /// <summary>AMS: 0 round robin.</summary>
    public uint Arbitration
    {
        get => (uint)((Value >> 11) & 0x7u);
        init => Value = (Value & ~(0x7u << 11)) | (((uint)value & 0x7u) << 11);
    }

    /// <summary>SHN.</summary>
    public NvmeShutdown Shutdown
    {
        get => (NvmeShutdown)((Value >> 14) & 0x3u);
        init => Value = (Value & ~(0x3u << 14)) | (((uint)value & 0x3u) << 14);
    }

    /// <summary>IOSQES: log2 of the size of a submission entry, 6.</summary>
    public int SubmissionEntryShift
    {
        get => (int)((Value >> 16) & 0xfu);
        init => Value = (Value & ~(0xfu << 16)) | (((uint)value & 0xfu) << 16);
    }

    /// <summary>IOCQES: log2 of the size of a completion entry, 4.</summary>
    public int CompletionEntryShift
    {
        get => (int)((Value >> 20) & 0xfu);
        init => Value = (Value & ~(0xfu << 20)) | (((uint)value & 0xfu) << 20);
    }

    /// <summary>CRIME.</summary>
    public bool ReadyIndependentOfMedia
    {
        get => (Value & (1u << 24)) != 0;
        init => Value = value ? Value | (1u << 24) : Value & ~(1u << 24);
    }
}
