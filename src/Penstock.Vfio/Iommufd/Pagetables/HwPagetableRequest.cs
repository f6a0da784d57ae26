using Penstock.Specs.Iommufd;

namespace Penstock.Vfio;

/// <summary>A HWPT_ALLOC call.</summary>
public readonly record struct HwPagetableRequest
{
    /// <summary>Flags.</summary>
    public IommuHwptAllocFlags Flags { get; init; }

    /// <summary>A bound device whose IOMMU the table is for.</summary>
    public required uint DeviceId { get; init; }

    /// <summary>An address space for a paging table, a paging table for a nested one.</summary>
    public required uint ParentId { get; init; }

    /// <summary>Kind of the data; 0 for none.</summary>
    public uint DataType { get; init; }

    /// <summary>What the nested translation is made from.</summary>
    public ReadOnlyMemory<byte> Data { get; init; }

    /// <summary>The fault queue, with FAULT_ID_VALID.</summary>
    public uint FaultId { get; init; }
}
