namespace Penstock.Specs.Vfio;

/// <summary>Flags of the answer to GET_INFO (linux/vfio.h).</summary>
[Flags]
public enum VfioIommuInfoFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The page sizes are valid.</summary>
    PageSizes = 1,

    /// <summary>There are capabilities.</summary>
    Capabilities = 2,
}
