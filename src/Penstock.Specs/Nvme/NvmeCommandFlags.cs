namespace Penstock.Specs.Nvme;

/// <summary>Byte 1 of <see cref="NvmeCommand"/> (NVM Express base specification 1.4, section 4.2).</summary>
[Flags]
public enum NvmeCommandFlags : byte
{
    /// <summary>An unfused command with PRPs.</summary>
    None = 0,

    /// <summary>First of a fused pair.</summary>
    FusedFirst = 0x01,

    /// <summary>Second of a fused pair.</summary>
    FusedSecond = 0x02,

    /// <summary>The bits for fusing; both set are reserved.</summary>
    FuseMask = 0x03,

    /// <summary>SGL for data; a metadata pointer is a flat address.</summary>
    Sgl = 0x40,

    /// <summary>SGL for data and metadata.</summary>
    SglMetadata = 0x80,

    /// <summary>The bits for the kind of data pointer (PSDT); both set are reserved.</summary>
    PointerMask = 0xc0,
}
