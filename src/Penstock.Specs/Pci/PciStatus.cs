namespace Penstock.Specs.Pci;

/// <summary>The status register (PCI Local Bus 3.0, section 6.2.3).</summary>
[Flags]
public enum PciStatus : ushort
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The function asserts its interrupt, whether or not the pin is disabled.</summary>
    Interrupt = 0x0008,

    /// <summary>There is a capability list.</summary>
    CapabilityList = 0x0010,

    /// <summary>Master data parity error.</summary>
    MasterDataParityError = 0x0100,

    /// <summary>The function ended a transaction with target abort.</summary>
    SignaledTargetAbort = 0x0800,

    /// <summary>A transaction of the function ended with target abort.</summary>
    ReceivedTargetAbort = 0x1000,

    /// <summary>A transaction of the function ended with master abort.</summary>
    ReceivedMasterAbort = 0x2000,

    /// <summary>SERR# was driven.</summary>
    SignaledSystemError = 0x4000,

    /// <summary>A parity error was seen.</summary>
    DetectedParityError = 0x8000,

    /// <summary>The bits that are cleared by writing 1.</summary>
    WriteOneToClear = MasterDataParityError | SignaledTargetAbort | ReceivedTargetAbort | ReceivedMasterAbort
        | SignaledSystemError | DetectedParityError,
}
