namespace Penstock.Devices;

/// <summary>What a controller has done, for SMART. On the strand only; another thread that looks sees values of about now.</summary>
internal sealed class NvmeCounters
{
    /// <summary>Bytes of the blocks that are counted, whatever size those of the namespace have.</summary>
    public const int SectorSize = 512;

    /// <summary>Blocks of 512 bytes read by the host.</summary>
    public ulong SectorsRead { get; set; }

    /// <summary>Blocks of 512 bytes written by the host.</summary>
    public ulong SectorsWritten { get; set; }

    /// <summary>Read and compare commands completed.</summary>
    public ulong Reads { get; set; }

    /// <summary>Write commands completed.</summary>
    public ulong Writes { get; set; }

    /// <summary>Flush commands completed.</summary>
    public ulong Flushes { get; set; }

    /// <summary>Other commands completed.</summary>
    public ulong Others { get; set; }

    /// <summary>Commands that the medium failed.</summary>
    public ulong MediaErrors { get; set; }

    /// <summary>How often the controller was reset while it had not been shut down.</summary>
    public ulong UnsafeShutdowns { get; set; }
}
