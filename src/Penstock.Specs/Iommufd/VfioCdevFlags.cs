namespace Penstock.Specs.Iommufd;

/// <summary>Flag of each cdev request: TOKEN for BIND_IOMMUFD, PASID for the other two (linux/vfio.h).</summary>
[Flags]
public enum VfioCdevFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The last member is valid.</summary>
    TokenOrPasid = 1,
}
