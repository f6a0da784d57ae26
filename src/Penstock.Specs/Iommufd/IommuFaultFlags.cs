namespace Penstock.Specs.Iommufd;

/// <summary>Flags of a fault (linux/iommufd.h).</summary>
[Flags]
public enum IommuFaultFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The PASID is valid.</summary>
    PasidValid = 1,

    /// <summary>Last fault of its group.</summary>
    LastPage = 2,
}
