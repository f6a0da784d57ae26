namespace Penstock.Specs.Nvme;

/// <summary>
/// Offsets of the controller registers in BAR 0, in bytes (NVM Express base specification 1.4, section 3.1). A 64-bit register may be
/// reached by halves.
/// </summary>
public static class NvmeRegisters
{
    /// <summary>CAP, 8 bytes, read-only: <see cref="NvmeCapabilities"/>.</summary>
    public const ulong Capabilities = 0x00;

    /// <summary>VS, 4 bytes, read-only: major number in the high half, minor in bits 15 to 8, tertiary below.</summary>
    public const ulong Version = 0x08;

    /// <summary>INTMS, 4 bytes, write 1 to set; not for MSI-X.</summary>
    public const ulong InterruptMaskSet = 0x0c;

    /// <summary>INTMC, 4 bytes, write 1 to clear; not for MSI-X.</summary>
    public const ulong InterruptMaskClear = 0x10;

    /// <summary>CC, 4 bytes: <see cref="NvmeConfiguration"/>.</summary>
    public const ulong Configuration = 0x14;

    /// <summary>CSTS, 4 bytes: <see cref="NvmeControllerStatus"/>.</summary>
    public const ulong Status = 0x1c;

    /// <summary>NSSR, 4 bytes.</summary>
    public const ulong SubsystemReset = 0x20;

    /// <summary>AQA, 4 bytes: <see cref="NvmeAdminQueueAttributes"/>.</summary>
    public const ulong AdminQueueAttributes = 0x24;

    /// <summary>ASQ, 8 bytes: base of the admin submission queue, page-aligned.</summary>
    public const ulong AdminSubmissionQueue = 0x28;

    /// <summary>ACQ, 8 bytes: base of the admin completion queue, page-aligned.</summary>
    public const ulong AdminCompletionQueue = 0x30;

    /// <summary>CMBLOC, 4 bytes; 0 without a controller memory buffer.</summary>
    public const ulong MemoryBufferLocation = 0x38;

    /// <summary>CMBSZ, 4 bytes; 0 without a controller memory buffer.</summary>
    public const ulong MemoryBufferSize = 0x3c;

    /// <summary>BPINFO, 4 bytes; 0 without boot partitions.</summary>
    public const ulong BootPartitionInformation = 0x40;

    /// <summary>BPRSEL, 4 bytes.</summary>
    public const ulong BootPartitionRead = 0x44;

    /// <summary>BPMBL, 8 bytes.</summary>
    public const ulong BootPartitionBuffer = 0x48;

    /// <summary>CMBMSC, 8 bytes.</summary>
    public const ulong MemoryBufferSpace = 0x50;

    /// <summary>CMBSTS, 4 bytes.</summary>
    public const ulong MemoryBufferStatus = 0x58;

    /// <summary>CRTO, 4 bytes.</summary>
    public const ulong ReadyTimeouts = 0x68;

    /// <summary>
    /// First doorbell. Submission tail of queue y at index 2y, completion head at 2y + 1, each 4 shifted left by CAP.DSTRD bytes after the
    /// one before.
    /// </summary>
    public const ulong Doorbells = 0x1000;

    /// <summary>First byte after the registers that are not doorbells.</summary>
    public const ulong RegistersEnd = 0x1000;

    /// <summary>Size of a doorbell in bytes with CAP.DSTRD 0.</summary>
    public const int DoorbellSize = 4;

    /// <summary>What written to NSSR resets the subsystem: "NVMe".</summary>
    public const uint SubsystemResetSignature = 0x4e564d65;

    /// <summary>VS of version 1.4.0.</summary>
    public const uint Version14 = 0x00010400;

    /// <summary>VS of version 2.0.0.</summary>
    public const uint Version20 = 0x00020000;
}
