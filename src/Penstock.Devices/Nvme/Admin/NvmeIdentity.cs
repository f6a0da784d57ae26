using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>What a controller says of itself in Identify and elsewhere. Immutable.</summary>
internal sealed record NvmeIdentity
{
    /// <summary>PCI vendor id.</summary>
    public ushort VendorId { get; init; }

    /// <summary>PCI subsystem vendor id.</summary>
    public ushort SubsystemVendorId { get; init; }

    /// <summary>Serial number, ASCII, at most 20 characters.</summary>
    public required string SerialNumber { get; init; }

    /// <summary>Model number, ASCII, at most 40 characters.</summary>
    public string ModelNumber { get; init; } = "Penstock NVMe disk";

    /// <summary>Firmware revision, ASCII, at most 8 characters.</summary>
    public string FirmwareRevision { get; init; } = "1.0";

    /// <summary>Value of the version register.</summary>
    public uint Version { get; init; } = NvmeRegisters.Version14;

    /// <summary>Log2 of the largest transfer in pages of 4096 bytes.</summary>
    public byte MaxTransferShift { get; init; } = 5;

    /// <summary>Largest transfer in bytes.</summary>
    public int MaxTransfer => NvmeLimits.PageSize << MaxTransferShift;

    /// <summary>How many aborts may be outstanding.</summary>
    public int AbortLimit { get; init; } = 4;

    /// <summary>How many asynchronous event requests may be outstanding.</summary>
    public int AsyncEventLimit { get; init; } = 4;

    /// <summary>Whether there is Doorbell Buffer Config.</summary>
    public bool DoorbellBuffer { get; init; } = true;

    /// <summary>How many I/O queue pairs a host can have.</summary>
    public int IoQueues { get; init; } = 63;

    /// <summary>How many interrupt vectors there are.</summary>
    public int Vectors { get; init; } = 64;
}
