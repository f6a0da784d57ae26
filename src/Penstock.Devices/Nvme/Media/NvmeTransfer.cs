namespace Penstock.Devices;

/// <summary>A command of the NVM command set after all its checks: what is to be moved and where.</summary>
internal readonly struct NvmeTransfer
{
    /// <summary>What to do.</summary>
    public NvmeOperation Operation { get; init; }

    /// <summary>Whether it must be durable before the command completes.</summary>
    public bool Durable { get; init; }

    /// <summary>Whether the room may be given back.</summary>
    public bool Deallocate { get; init; }

    /// <summary>First byte on the medium.</summary>
    public ulong Offset { get; init; }

    /// <summary>Bytes on the medium.</summary>
    public ulong Length { get; init; }

    /// <summary>Bytes of the host's memory, by its PRPs.</summary>
    public int DataLength { get; init; }

    /// <summary>Whether data goes from the host to the device.</summary>
    public bool FromHost => Operation is NvmeOperation.Write or NvmeOperation.Compare or NvmeOperation.DatasetManagement;

    /// <summary>Whether blocks are changed.</summary>
    public bool Writes => Operation is NvmeOperation.Write or NvmeOperation.WriteZeroes or NvmeOperation.DatasetManagement;

    /// <summary>Whether data goes from the device to the host.</summary>
    public bool ToHost => Operation is NvmeOperation.Read;
}
