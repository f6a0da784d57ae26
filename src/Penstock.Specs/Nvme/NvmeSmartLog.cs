namespace Penstock.Specs.Nvme;

/// <summary>The SMART log: offsets in bytes (NVM Express base specification 1.4, figure 195).</summary>
public static class NvmeSmartLog
{
    /// <summary>1 byte, bits.</summary>
    public const int Warnings = 0;

    /// <summary>2 bytes, Kelvin.</summary>
    public const int Temperature = 1;

    /// <summary>1 byte, per cent.</summary>
    public const int Spare = 3;

    /// <summary>1 byte, per cent.</summary>
    public const int SpareThreshold = 4;

    /// <summary>1 byte, per cent.</summary>
    public const int Used = 5;

    /// <summary>16 bytes, thousands of 512 bytes, rounded up.</summary>
    public const int DataUnitsRead = 32;

    /// <summary>16 bytes, as read.</summary>
    public const int DataUnitsWritten = 48;

    /// <summary>16 bytes, commands.</summary>
    public const int HostReads = 64;

    /// <summary>16 bytes, commands.</summary>
    public const int HostWrites = 80;

    /// <summary>16 bytes.</summary>
    public const int BusyMinutes = 96;

    /// <summary>16 bytes.</summary>
    public const int PowerCycles = 112;

    /// <summary>16 bytes.</summary>
    public const int PowerOnHours = 128;

    /// <summary>16 bytes.</summary>
    public const int UnsafeShutdowns = 144;

    /// <summary>16 bytes.</summary>
    public const int MediaErrors = 160;

    /// <summary>16 bytes, over the life of the controller.</summary>
    public const int ErrorLogEntries = 176;

    /// <summary>4 bytes.</summary>
    public const int WarningMinutes = 192;

    /// <summary>4 bytes.</summary>
    public const int CriticalMinutes = 196;

    /// <summary>8 of 2 bytes, Kelvin; 0 for none.</summary>
    public const int Sensors = 200;

    /// <summary>Length of the page in bytes.</summary>
    public const int Length = 512;

    /// <summary>Warning: temperature.</summary>
    public const byte WarningTemperature = 2;

    /// <summary>Warning: the medium is read-only.</summary>
    public const byte WarningReadOnly = 8;
}
