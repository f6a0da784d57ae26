namespace Penstock.Specs.VfioUser;

/// <summary>Commands of the vfio-user protocol (QEMU's docs/interop/vfio-user.rst, "Commands").</summary>
public enum VfioUserCommand : ushort
{
    /// <summary>Negotiation; first message of a connection, client to server.</summary>
    Version = 1,

    /// <summary>Offer memory.</summary>
    DmaMap = 2,

    /// <summary>Withdraw memory.</summary>
    DmaUnmap = 3,

    /// <summary>Kind of device, number of regions and interrupt indices.</summary>
    DeviceGetInfo = 4,

    /// <summary>One region.</summary>
    DeviceGetRegionInfo = 5,

    /// <summary>Descriptors that stand for parts of a region.</summary>
    DeviceGetRegionIoFds = 6,

    /// <summary>One interrupt index.</summary>
    DeviceGetIrqInfo = 7,

    /// <summary>Bind, mask, unmask or trigger interrupts.</summary>
    DeviceSetIrqs = 8,

    /// <summary>Read from a region.</summary>
    RegionRead = 9,

    /// <summary>Write to a region.</summary>
    RegionWrite = 10,

    /// <summary>Read the client's memory; server to client.</summary>
    DmaRead = 11,

    /// <summary>Write the client's memory; server to client.</summary>
    DmaWrite = 12,

    /// <summary>Reset the device.</summary>
    DeviceReset = 13,

    /// <summary>Several short writes in one message.</summary>
    RegionWriteMulti = 15,

    /// <summary>Get, set or probe a feature.</summary>
    DeviceFeature = 16,

    /// <summary>Read migration data.</summary>
    MigDataRead = 17,

    /// <summary>Write migration data.</summary>
    MigDataWrite = 18,

    /// <summary>How much migration data there is before the device stops; in newer drafts of the text.</summary>
    GetPrecopyInfo = 19,
}
