using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>MIG_DATA_READ and MIG_DATA_WRITE; the bytes follow in the reply of the first and the command of the second.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserMigrationData
{
    /// <summary>Length of the structure in bytes, without what follows.</summary>
    public const int Length = 8;

    /// <summary>Size of the whole payload, for a read that of the largest reply.</summary>
    public uint ArgumentSize;

    /// <summary>How many bytes of data.</summary>
    public uint Size;
}
