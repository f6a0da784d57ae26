namespace Penstock.Specs.Nvme;

/// <summary>The command effects log: offsets in bytes (NVM Express base specification 1.4, figure 200).</summary>
public static class NvmeEffectsLog
{
    /// <summary>4 bytes for each admin opcode.</summary>
    public const int AdminCommands = 0;

    /// <summary>4 bytes for each I/O opcode.</summary>
    public const int IoCommands = 1024;

    /// <summary>Length of the page in bytes.</summary>
    public const int Length = 4096;

    /// <summary>CSUPP: the command is there.</summary>
    public const uint Supported = 1;

    /// <summary>LBCC: may change blocks.</summary>
    public const uint ChangesBlocks = 2;

    /// <summary>NCC: may change what a namespace can do.</summary>
    public const uint ChangesNamespace = 4;
}
