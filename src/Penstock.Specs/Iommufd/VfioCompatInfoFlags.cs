namespace Penstock.Specs.Iommufd;

/// <summary>Flags of the answer to GET_INFO (linux/vfio.h).</summary>
[Flags]
public enum VfioCompatInfoFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The page sizes are valid.</summary>
    PageSizes = 1,

    /// <summary>There are capabilities.</summary>
    Capabilities = 2,
}
