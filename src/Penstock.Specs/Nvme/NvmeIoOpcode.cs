namespace Penstock.Specs.Nvme;

/// <summary>Commands of the NVM command set (NVM Express base specification 1.4, section 6).</summary>
public enum NvmeIoOpcode : byte
{
    /// <summary>Flush.</summary>
    Flush = 0x00,

    /// <summary>Write.</summary>
    Write = 0x01,

    /// <summary>Read.</summary>
    Read = 0x02,

    /// <summary>Write uncorrectable.</summary>
    WriteUncorrectable = 0x04,

    /// <summary>Compare.</summary>
    Compare = 0x05,

    /// <summary>Write zeroes.</summary>
    WriteZeroes = 0x08,

    /// <summary>Dataset management.</summary>
    DatasetManagement = 0x09,

    /// <summary>Verify.</summary>
    Verify = 0x0c,

    /// <summary>Reservation register.</summary>
    ReservationRegister = 0x0d,

    /// <summary>Reservation report.</summary>
    ReservationReport = 0x0e,

    /// <summary>Reservation acquire.</summary>
    ReservationAcquire = 0x11,

    /// <summary>Reservation release.</summary>
    ReservationRelease = 0x15,

    /// <summary>Copy.</summary>
    Copy = 0x19,
}
