using System.Runtime.InteropServices;

namespace Penstock.Specs.Iommufd;

/// <summary>HWPT_ALLOC (linux/iommufd.h).</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct IommuHwptAlloc
{
    /// <summary>Smallest size that the call accepts, in bytes.</summary>
    public const int MinimumLength = 24;

    /// <summary>Length of the structure in bytes.</summary>
    public const int Length = 48;

    /// <summary>Size of this structure.</summary>
    public uint Size;

    /// <summary>Flags.</summary>
    public IommuHwptAllocFlags Flags;

    /// <summary>A bound device whose IOMMU it is for.</summary>
    public uint DeviceId;

    /// <summary>An address space, or the table below a nested one.</summary>
    public uint ParentId;

    /// <summary>Receives the id.</summary>
    public uint OutHwptId;

    /// <summary>0.</summary>
    public uint Reserved;

    /// <summary>Kind of the data; 0 for none.</summary>
    public uint DataType;

    /// <summary>Length of the data in bytes.</summary>
    public uint DataLength;

    /// <summary>Address of the data.</summary>
    public ulong DataPointer;

    /// <summary>The fault queue, with FAULT_ID_VALID.</summary>
    public uint FaultId;

    /// <summary>0.</summary>
    public uint Reserved2;
}
