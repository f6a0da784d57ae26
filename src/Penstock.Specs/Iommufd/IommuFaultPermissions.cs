namespace Penstock.Specs.Iommufd;

/// <summary>What a faulting access wanted (linux/iommufd.h).</summary>
[Flags]
public enum IommuFaultPermissions : uint
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Read.</summary>
    Read = 1,

    /// <summary>Write.</summary>
    Write = 2,

    /// <summary>Execute.</summary>
    Execute = 4,

    /// <summary>In privileged mode.</summary>
    Privileged = 8,
}
