namespace Penstock.Specs.Iommufd;

/// <summary>Capabilities in GET_HW_INFO (linux/iommufd.h).</summary>
[Flags]
public enum IommuHardwareCapabilities : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Dirty tracking.</summary>
    DirtyTracking = 1,

    /// <summary>PASIDs with execute permission.</summary>
    PasidExec = 2,

    /// <summary>PASIDs with privileged mode.</summary>
    PasidPrivileged = 4,

    /// <summary>No address translation service.</summary>
    AtsNotSupported = 8,
}
