using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>HWPT_INVALIDATE (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptInvalidate
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 32;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 32;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>The nested table.</summary>
    public uint HwptId;

    /// <summary>Address of the entries.</summary>
    public ulong DataPointer;

    /// <summary>Kind of the entries.</summary>
    public uint DataType;

    /// <summary>Length of an entry in bytes.</summary>
    public uint EntryLength;

    /// <summary>How many; receives how many were handled.</summary>
    public uint EntryCount;

    /// <summary>0.</summary>
    public uint Reserved;
}
