namespace Penstock.Devices;

/// <summary>What the specification leaves to the maker: identity, and what lies where in the BAR behind the doorbells.</summary>
internal static class NvmeLayout
{
    /// <summary>
    /// The id that belongs to nobody and that emulated devices use. Drivers bind by class; with the ids of QEMU's own disk Linux would take
    /// the namespace's identifiers for bogus.
    /// </summary>
    internal const ushort VendorId = 0x1234;

    internal const ushort DeviceId = 0x4E56;

    internal const ushort SubsystemId = 0x1100;

    internal const ulong BarSize = 0x4000;

    internal const uint MsixTable = 0x2000;

    internal const uint MsixPending = 0x3000;
}
