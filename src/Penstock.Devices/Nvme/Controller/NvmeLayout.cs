namespace Penstock.Devices;

/// <summary>What the specification leaves to the maker: identity, and what lies where in the BAR behind the doorbells.</summary>
internal static class NvmeLayout
{
    /// <summary>Red Hat, whose vendor id virtual devices use; with device id and class as QEMU's own disk, so that all drivers know it.</summary>
    internal const ushort VendorId = 0x1B36;

    internal const ushort DeviceId = 0x0010;

    internal const ushort SubsystemId = 0x1100;

    internal const ulong BarSize = 0x4000;

    internal const uint MsixTable = 0x2000;

    internal const uint MsixPending = 0x3000;
}
