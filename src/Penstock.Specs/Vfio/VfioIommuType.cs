namespace Penstock.Specs.Vfio;

/// <summary>Extensions of a container, which are also the IOMMU types (<c>VFIO_*</c> of linux/vfio.h).</summary>
public enum VfioIommuType
{
    /// <summary>Type1, first form.</summary>
    Type1 = 1,

    /// <summary>sPAPR TCE, first form.</summary>
    SpaprTce = 2,

    /// <summary>Type1, second form: unmap never splits a mapping.</summary>
    Type1V2 = 3,

    /// <summary>DMA is cache coherent.</summary>
    DmaCacheCoherent = 4,

    /// <summary>Enhanced error handling of POWER.</summary>
    Eeh = 5,

    /// <summary>sPAPR TCE, second form.</summary>
    SpaprTceV2 = 7,

    /// <summary>No IOMMU at all.</summary>
    NoIommu = 8,

    /// <summary>Everything can be unmapped in one call.</summary>
    UnmapAll = 9,

    /// <summary>The user address of a mapping can be replaced.</summary>
    UpdateVaddr = 10,
}
