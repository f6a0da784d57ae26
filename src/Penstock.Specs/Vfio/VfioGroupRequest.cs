namespace Penstock.Specs.Vfio;

/// <summary>Requests of a group file (linux/vfio.h).</summary>
public enum VfioGroupRequest : uint
{
    /// <summary>Whether the group can be used; takes a <see cref="VfioGroupStatus"/>.</summary>
    GetStatus = 0x3b67,

    /// <summary>Puts it into a container; takes the container's descriptor, 4 bytes.</summary>
    SetContainer = 0x3b68,

    /// <summary>Takes it out again.</summary>
    UnsetContainer = 0x3b69,

    /// <summary>Opens a device; takes its name, ended by a NUL, and returns a descriptor.</summary>
    GetDeviceFd = 0x3b6a,
}
