using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>How an <see cref="NvmeFunction"/> is made.</summary>
public sealed record NvmeOptions
{
    /// <summary>Most I/O queues that can be asked for: the doorbells and MSI-X vectors of more do not fit into the BAR.</summary>
    public const int MostIoQueues = 127;

    /// <summary>Most entries of an I/O queue that can be asked for.</summary>
    public const int MostQueueEntries = 4096;

    /// <summary>MDTS: the longest transfer of a command is this power of two of pages.</summary>
    internal const int TransferShift = 5;

    internal const uint LongestTransfer = NvmeLimits.PageSize << TransferShift;

    /// <summary>CAP.TO: how long the controller may take to become ready, in half seconds. Only a reset while a disk is slow takes time at all.</summary>
    internal const uint ReadyTimeout = 30;

    /// <summary>Size of a block: 512 or 4096 bytes.</summary>
    public int BlockSize { get; init; } = 512;

    /// <summary>Serial number, at most 20 ASCII characters, of which the namespace's identifiers are made.</summary>
    public string SerialNumber { get; init; } = "PENSTOCK";

    /// <summary>How many I/O queues, of either kind, the host may create.</summary>
    public int IoQueues { get; init; } = 64;

    /// <summary>How many entries an I/O queue may have.</summary>
    public int QueueEntries { get; init; } = 1024;

    /// <summary>
    /// The doorbells are memory that hosts map, and the device looks at them all the time, on a processor of its own. Without it a doorbell is a
    /// register access, of which shadow doorbells save most, and an idle device sleeps.
    /// </summary>
    public bool Poll { get; init; }

    /// <summary>How many threads at most carry out what would keep the device waiting.</summary>
    public int Workers { get; init; } = 8;

    /// <summary>The controller samples where its time goes and tells it in a log page, <see cref="NvmeTimesLog"/>.</summary>
    public bool Times { get; init; }

    /// <summary>How many commands can be under way at once; more wait in their queues.</summary>
    internal int Commands { get; init; } = 256;

    /// <summary>How many commands are taken before register calls are let in.</summary>
    internal int TurnLength { get; init; } = 64;
}
