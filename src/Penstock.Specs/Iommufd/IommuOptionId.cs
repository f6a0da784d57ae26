namespace Penstock.Specs.Iommufd;

/// <summary>Options (linux/iommufd.h).</summary>
public enum IommuOptionId : uint
{
    /// <summary>How locked memory is accounted: 0 for each user, 1 for each process.</summary>
    RlimitMode = 0,

    /// <summary>Whether an address space may use large pages.</summary>
    HugePages = 1,
}
