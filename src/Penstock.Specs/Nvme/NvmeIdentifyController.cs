namespace Penstock.Specs.Nvme;

/// <summary>Identify Controller: offsets in bytes and what stands there (NVM Express base specification 1.4, figure 251).</summary>
public static class NvmeIdentifyController
{
    /// <summary>VID, 2 bytes.</summary>
    public const int VendorId = 0;

    /// <summary>SSVID, 2 bytes.</summary>
    public const int SubsystemVendorId = 2;

    /// <summary>SN, ASCII, filled with blanks.</summary>
    public const int SerialNumber = 4;

    /// <summary>MN, ASCII, filled with blanks.</summary>
    public const int ModelNumber = 24;

    /// <summary>FR, ASCII, filled with blanks.</summary>
    public const int FirmwareRevision = 64;

    /// <summary>RAB, 1 byte.</summary>
    public const int ArbitrationBurst = 72;

    /// <summary>IEEE OUI, 3 bytes.</summary>
    public const int Ieee = 73;

    /// <summary>CMIC, 1 byte.</summary>
    public const int Cmic = 76;

    /// <summary>MDTS, 1 byte: log2 of the largest transfer in pages of CAP.MPSMIN; 0 no limit.</summary>
    public const int MaxTransfer = 77;

    /// <summary>CNTLID, 2 bytes.</summary>
    public const int ControllerId = 78;

    /// <summary>VER, 4 bytes.</summary>
    public const int Version = 80;

    /// <summary>RTD3R, 4 bytes, microseconds.</summary>
    public const int ResumeLatency = 84;

    /// <summary>RTD3E, 4 bytes, microseconds.</summary>
    public const int EntryLatency = 88;

    /// <summary>OAES, 4 bytes: <see cref="NvmeAsyncEventConfiguration"/>.</summary>
    public const int AsyncEvents = 92;

    /// <summary>CTRATT, 4 bytes.</summary>
    public const int Attributes = 96;

    /// <summary>CNTRLTYPE, 1 byte.</summary>
    public const int ControllerType = 111;

    /// <summary>FGUID, 16 bytes.</summary>
    public const int Fguid = 112;

    /// <summary>OACS, 2 bytes.</summary>
    public const int AdminCommands = 256;

    /// <summary>ACL, 1 byte, minus one.</summary>
    public const int AbortLimit = 258;

    /// <summary>AERL, 1 byte, minus one.</summary>
    public const int AsyncEventLimit = 259;

    /// <summary>FRMW, 1 byte.</summary>
    public const int Firmware = 260;

    /// <summary>LPA, 1 byte.</summary>
    public const int LogAttributes = 261;

    /// <summary>ELPE, 1 byte, minus one.</summary>
    public const int ErrorLogEntries = 262;

    /// <summary>NPSS, 1 byte, minus one.</summary>
    public const int PowerStates = 263;

    /// <summary>APSTA, 1 byte.</summary>
    public const int AutonomousPower = 265;

    /// <summary>WCTEMP, 2 bytes, Kelvin.</summary>
    public const int WarningTemperature = 266;

    /// <summary>CCTEMP, 2 bytes, Kelvin.</summary>
    public const int CriticalTemperature = 268;

    /// <summary>TNVMCAP, 16 bytes.</summary>
    public const int TotalCapacity = 280;

    /// <summary>UNVMCAP, 16 bytes.</summary>
    public const int UnallocatedCapacity = 296;

    /// <summary>KAS, 2 bytes, units of 100 ms; 0 none.</summary>
    public const int KeepAlive = 320;

    /// <summary>SQES, 1 byte: log2 of the smallest size below, of the largest above.</summary>
    public const int SubmissionEntrySize = 512;

    /// <summary>CQES, 1 byte, as SQES.</summary>
    public const int CompletionEntrySize = 513;

    /// <summary>MAXCMD, 2 bytes.</summary>
    public const int MaxCommands = 514;

    /// <summary>NN, 4 bytes: largest NSID.</summary>
    public const int Namespaces = 516;

    /// <summary>ONCS, 2 bytes.</summary>
    public const int NvmCommands = 520;

    /// <summary>FUSES, 2 bytes.</summary>
    public const int FusedOperations = 522;

    /// <summary>FNA, 1 byte.</summary>
    public const int FormatAttributes = 524;

    /// <summary>VWC, 1 byte.</summary>
    public const int VolatileWriteCache = 525;

    /// <summary>AWUN, 2 bytes, blocks minus one.</summary>
    public const int AtomicWriteNormal = 526;

    /// <summary>AWUPF, 2 bytes, blocks minus one.</summary>
    public const int AtomicWritePowerFail = 528;

    /// <summary>ACWU, 2 bytes, blocks minus one.</summary>
    public const int AtomicCompareWrite = 532;

    /// <summary>OCFS, 2 bytes.</summary>
    public const int CopyFormats = 534;

    /// <summary>SGLS, 4 bytes.</summary>
    public const int Sgl = 536;

    /// <summary>SUBNQN, UTF-8, ends in NUL.</summary>
    public const int SubsystemName = 768;

    /// <summary>PSD, 32 of 32 bytes.</summary>
    public const int PowerStateDescriptors = 2048;

    /// <summary>Length of SN.</summary>
    public const int SerialNumberLength = 20;

    /// <summary>Length of MN.</summary>
    public const int ModelNumberLength = 40;

    /// <summary>Length of FR.</summary>
    public const int FirmwareRevisionLength = 8;

    /// <summary>Length of SUBNQN.</summary>
    public const int SubsystemNameLength = 256;

    /// <summary>CNTRLTYPE of an I/O controller.</summary>
    public const byte IoController = 1;

    /// <summary>OACS: Format NVM.</summary>
    public const ushort OacsFormat = 1 << 1;

    /// <summary>OACS: Doorbell Buffer Config.</summary>
    public const ushort OacsDoorbellBuffer = 1 << 8;

    /// <summary>FRMW: slot 1 cannot be written.</summary>
    public const byte FrmwSlot1ReadOnly = 1;

    /// <summary>FRMW: where the number of slots stands.</summary>
    public const int FrmwSlotsShift = 1;

    /// <summary>LPA: the command effects log is there.</summary>
    public const byte LpaEffects = 1 << 1;

    /// <summary>LPA: offsets and long lengths of log pages.</summary>
    public const byte LpaExtended = 1 << 2;

    /// <summary>ONCS: compare.</summary>
    public const ushort OncsCompare = 1;

    /// <summary>ONCS: write uncorrectable.</summary>
    public const ushort OncsWriteUncorrectable = 1 << 1;

    /// <summary>ONCS: dataset management.</summary>
    public const ushort OncsDatasetManagement = 1 << 2;

    /// <summary>ONCS: write zeroes.</summary>
    public const ushort OncsWriteZeroes = 1 << 3;

    /// <summary>ONCS: SAVE and SELECT of features.</summary>
    public const ushort OncsSaveSelect = 1 << 4;

    /// <summary>ONCS: reservations.</summary>
    public const ushort OncsReservations = 1 << 5;

    /// <summary>ONCS: timestamp.</summary>
    public const ushort OncsTimestamp = 1 << 6;

    /// <summary>ONCS: verify.</summary>
    public const ushort OncsVerify = 1 << 7;

    /// <summary>ONCS: copy.</summary>
    public const ushort OncsCopy = 1 << 8;

    /// <summary>FUSES: compare and write.</summary>
    public const ushort FusesCompareWrite = 1;

    /// <summary>VWC: there is a volatile write cache.</summary>
    public const byte VwcPresent = 1;

    /// <summary>VWC: Flush to all namespaces is refused.</summary>
    public const byte VwcFlushAllRefused = 2 << 1;

    /// <summary>VWC: Flush to all namespaces works.</summary>
    public const byte VwcFlushAll = 3 << 1;

    /// <summary>SQES and CQES: where the largest size stands.</summary>
    public const byte EntrySizeHighShift = 4;
}
