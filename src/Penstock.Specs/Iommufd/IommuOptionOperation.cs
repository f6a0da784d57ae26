namespace Penstock.Specs.Iommufd;

/// <summary>What OPTION does (linux/iommufd.h).</summary>
public enum IommuOptionOperation : ushort
{
    /// <summary>Sets.</summary>
    Set = 0,

    /// <summary>Reads.</summary>
    Get = 1,
}
