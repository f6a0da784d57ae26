using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>IOAS_COPY (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuIoasCopy
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 40;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 40;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public IommuMapFlags Flags;

    /// <summary>Where to map.</summary>
    public uint DestinationIoasId;

    /// <summary>Where it is mapped.</summary>
    public uint SourceIoasId;

    /// <summary>Length in bytes.</summary>
    public ulong MapLength;

    /// <summary>First I/O address; receives it unless it was fixed.</summary>
    public ulong DestinationIova;

    /// <summary>First address in the source.</summary>
    public ulong SourceIova;
}
