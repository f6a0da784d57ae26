using Penstock.Specs.Nvme;

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

    /// <summary>How often the function was reset or given up while the controller was enabled and had not been shut down.</summary>
    public ulong UnsafeShutdowns { get; set; }

    /// <summary>Counts an I/O command.</summary>
    /// <param name="transfer">What was planned; not looked at when the command failed.</param>
    /// <param name="status">What came of it.</param>
    public void Count(in NvmeTransfer transfer, NvmeStatus status)
    {
        if (status != NvmeStatus.Success)
        {
            MediaErrors += (status & NvmeStatus.CodeMask) is NvmeStatus.WriteFault or NvmeStatus.UnrecoveredReadError ? 1u : 0;
            return;
        }

        ulong sectors = transfer.Length / SectorSize;
        switch (transfer.Operation)
        {
            case NvmeOperation.Read or NvmeOperation.Compare:
                Reads++;
                SectorsRead += sectors;
                break;
            case NvmeOperation.Write:
                Writes++;
                SectorsWritten += sectors;
                break;
            case NvmeOperation.Flush:
                Flushes++;
                break;
            default:
                Others++;
                break;
        }
    }
}
