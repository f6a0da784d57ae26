namespace Penstock.Vfio;

/// <summary>What a context knows of an IOMMU group of which it owns the DMA: all its devices share one page table.</summary>
internal sealed class IommufdGroup
{
    internal IommufdGroup(IommuGroup group) => Group = group;

    internal IommuGroup Group { get; }

    internal int Bound { get; set; }

    /// <summary>The table in force; null while DMA is blocked.</summary>
    internal HwPagetable? Table { get; set; }

    internal List<IommufdDevice> Attached { get; } = [];

    /// <summary>Tables of DMA that carries a PASID.</summary>
    internal Dictionary<uint, IommufdDevice.PasidAttachment> Pasids { get; } = [];
}
