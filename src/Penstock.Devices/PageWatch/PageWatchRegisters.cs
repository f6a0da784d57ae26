namespace Penstock.Devices;

/// <summary>Registers of <see cref="PageWatchFunction"/> in BAR 0.</summary>
internal static class PageWatchRegisters
{
    /// <summary>Not a maker of cards: the vendor id that emulators use for devices of their own.</summary>
    internal const ushort VendorId = 0x1234;

    internal const ushort DeviceId = 0x9A6E;

    internal const int BarIndex = 0;

    internal const int BarSize = 0x100;

    /// <summary>Read and write, 8 bytes: number of the guest page to be watched.</summary>
    internal const int Frame = 0x00;

    /// <summary>Read and write, 4 bytes: 1 watches the page, 0 stops; reads 0 when the guest has no such page.</summary>
    internal const int Control = 0x08;

    /// <summary>Read, 4 bytes; written ones clear: bit 0, the page was written to.</summary>
    internal const int Status = 0x0C;

    /// <summary>Read, 8 bytes: how many writes there were since the watch began.</summary>
    internal const int Writes = 0x10;

    /// <summary>Read, 8 bytes: address of the last one.</summary>
    internal const int LastAddress = 0x18;

    /// <summary>Read, 8 bytes: its first bytes, little-endian.</summary>
    internal const int LastData = 0x20;

    internal const ulong Watching = 1;

    internal const ulong Written = 1;
}
