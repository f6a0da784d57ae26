using System.Runtime.InteropServices;

namespace Penstock.Specs.Nvme;

/// <summary>A range of dataset management (NVM Express base specification 1.4, figure 356).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1, Size = Length)]
public struct NvmeDatasetRange
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Context attributes: hints.</summary>
    public uint Attributes;

    /// <summary>Number of blocks; not minus one.</summary>
    public uint Blocks;

    /// <summary>First block.</summary>
    public ulong StartingLba;
}
