namespace Penstock.Specs.Iommufd;

/// <summary>Flags of HWPT_ALLOC (linux/iommufd.h).</summary>
[Flags]
public enum IommuHwptAllocFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Nested tables can be put on top.</summary>
    NestParent = 1,

    /// <summary>Device writes can be tracked.</summary>
    DirtyTracking = 2,

    /// <summary>Faults go to a queue.</summary>
    FaultIdValid = 4,

    /// <summary>Can be attached to a PASID.</summary>
    Pasid = 8,

    /// <summary>Every flag.</summary>
    All = NestParent | DirtyTracking | FaultIdValid | Pasid,
}
