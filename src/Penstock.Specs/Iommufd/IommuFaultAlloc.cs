using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>FAULT_QUEUE_ALLOC (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuFaultAlloc
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 16;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 16;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public uint Flags;

    /// <summary>Receives the id.</summary>
    public uint OutFaultId;

    /// <summary>Receives the queue's file.</summary>
    public int OutFaultDescriptor;
}
