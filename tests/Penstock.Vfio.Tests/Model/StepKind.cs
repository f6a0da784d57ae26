namespace Penstock.Vfio.Tests.Model;

/// <summary>What a user, an administrator or a virtual machine may do next.</summary>
internal enum StepKind
{
    OpenContainer,
    CloseContainer,
    SetIommu,
    Map,
    Unmap,
    OpenGroup,
    CloseGroup,
    SetContainer,
    UnsetContainer,
    OpenDevice,
    CloseDevice,
    Register,
    Unregister,
    OpenIommufd,
    CloseIommufd,
    MapIoas,
    UnmapIoas,
    OpenCdev,
    CloseCdev,
    Bind,
    Attach,
    Detach,
    CreateMachine,
    DestroyMachine,
    SetGroupMachine,
    SetCdevMachine,

    /// <summary>A machine gets a group's file or a device's, and keeps it open whatever its user does.</summary>
    AddGroupToMachine,
    AddCdevToMachine,

    /// <summary>A machine lets a file go; maybe it was the last who had it.</summary>
    DelFromMachine,

    /// <summary>A user's process dies: all its files are closed, in an order that nobody chose.</summary>
    Kill,
}
