namespace Penstock.Specs.Iommufd;

/// <summary>Answer to a group of faults (linux/iommufd.h).</summary>
public enum IommuFaultResponseCode : uint
{
    /// <summary>Retry.</summary>
    Success = 0,

    /// <summary>The address is invalid.</summary>
    Invalid = 1,
}
