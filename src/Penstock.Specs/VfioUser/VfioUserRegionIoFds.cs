using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>Payload of DEVICE_GET_REGION_IO_FDS; entries follow a reply.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserRegionIoFds
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Largest reply that the client takes; in a reply the size of a full one.</summary>
    public uint ArgumentSize;

    /// <summary>Must be zero.</summary>
    public uint Flags;

    /// <summary>Region index.</summary>
    public uint Index;

    /// <summary>Zero in a request; number of entries in a reply.</summary>
    public uint Count;
}
