namespace Penstock.Specs.Iommufd;

/// <summary>Flags of GET_HW_INFO (linux/iommufd.h).</summary>
[Flags]
public enum IommuHardwareInfoFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The caller asks for a certain type.</summary>
    InputType = 1,
}
