using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>An entry of DEVICE_GET_REGION_IO_FDS as the C library sends it: longer than the text's, with the value at another place.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserLibraryIoFd
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 48;

    /// <summary>First byte in the region.</summary>
    public ulong Offset;

    /// <summary>Length in bytes.</summary>
    public ulong Size;

    /// <summary>Which descriptor of the message, or <see cref="VfioUserIoFd.NoDescriptor"/>.</summary>
    public uint DescriptorIndex;

    /// <summary>What the descriptor is.</summary>
    public VfioUserIoFdType Type;

    /// <summary>As in <see cref="VfioUserIoFd"/>.</summary>
    public uint Flags;

    /// <summary>Which descriptor is the shadow memory, for a shadow ioeventfd.</summary>
    public uint ShadowDescriptorIndex;

    /// <summary>Where in the shadow memory the value is to be written.</summary>
    public ulong ShadowOffset;

    /// <summary>The one value that signals, if the flags say so.</summary>
    public ulong DataMatch;
}
