namespace Penstock.Specs.Iommufd;

/// <summary>What VFIO_IOAS does (linux/iommufd.h).</summary>
public enum IommuVfioIoasOperation : ushort
{
    /// <summary>Reads.</summary>
    Get = 0,

    /// <summary>Sets.</summary>
    Set = 1,

    /// <summary>Forgets.</summary>
    Clear = 2,
}
