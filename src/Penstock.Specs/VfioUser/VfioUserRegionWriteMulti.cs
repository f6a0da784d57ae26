using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of REGION_WRITE_MULTI, before the writes, and the whole payload of its reply.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserRegionWriteMulti
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 8;

    /// <summary>Number of writes; in a reply of those that were done.</summary>
    public ulong Count;
}
