using System.Runtime.InteropServices;

namespace Penstock.Specs.VfioUser;

/// <summary>
/// An entry of DEVICE_GET_REGION_IO_FDS as the text has it. The C library's is <see cref="VfioUserLibraryIoFd"/>; only the length tells
/// them apart.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct VfioUserIoFd
{
    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 40;

    /// <summary>Value of <see cref="DescriptorIndex"/> of an entry without one.</summary>
    public const uint NoDescriptor = uint.MaxValue;

    /// <summary>First byte in the region.</summary>
    public ulong Offset;

    /// <summary>Length in bytes; 0 when the width of an access does not matter.</summary>
    public ulong Size;

    /// <summary>Which descriptor of the message; several entries may name the same.</summary>
    public uint DescriptorIndex;

    /// <summary>What the descriptor is.</summary>
    public VfioUserIoFdType Type;

    /// <summary>For an eventfd the flags of KVM_IOEVENTFD (<c>KvmIoEventfdFlags</c>).</summary>
    public uint Flags;

    /// <summary>0.</summary>
    public uint Padding;

    /// <summary>The one value that signals, if the flags say so.</summary>
    public ulong DataMatch;
}
