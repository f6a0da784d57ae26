namespace Penstock.Devices;

/// <summary>What a command does to the medium.</summary>
internal enum NvmeOperation : byte
{
    /// <summary>Makes earlier writes durable.</summary>
    Flush,

    /// <summary>Medium to host.</summary>
    Read,

    /// <summary>Host to medium.</summary>
    Write,

    /// <summary>The host's data against the medium.</summary>
    Compare,

    /// <summary>Zeroes, without data of the host.</summary>
    WriteZeroes,

    /// <summary>A list of ranges from the host; then they are deallocated if the command says so.</summary>
    DatasetManagement,
}
