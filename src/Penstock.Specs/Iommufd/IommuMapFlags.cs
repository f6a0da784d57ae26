namespace Penstock.Specs.Iommufd;

/// <summary>Flags of IOAS_MAP, IOAS_MAP_FILE and IOAS_COPY (linux/iommufd.h).</summary>
[Flags]
public enum IommuMapFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The caller chooses the I/O address.</summary>
    FixedIova = 1,

    /// <summary>Devices may write.</summary>
    Writeable = 2,

    /// <summary>Devices may read.</summary>
    Readable = 4,

    /// <summary>Every flag.</summary>
    All = FixedIova | Writeable | Readable,
}
