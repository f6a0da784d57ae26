namespace Penstock.Specs.Vfio;

/// <summary><c>VFIO_GROUP_FLAGS_*</c> of linux/vfio.h.</summary>
[Flags]
public enum VfioGroupFlags : uint
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>Nobody else owns the group's DMA.</summary>
    Viable = 1,

    /// <summary>The group is in a container.</summary>
    ContainerSet = 2,
}
