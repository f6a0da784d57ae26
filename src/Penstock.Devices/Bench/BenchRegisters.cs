namespace Penstock.Devices;

/// <summary>
/// Control block of the measuring device: little-endian registers in BAR 0. All are plain storage but <see cref="Operation"/>, whose
/// 4-byte write starts an operation. The client clears <see cref="Nanoseconds"/> before and takes a value other than 0 as "done".
/// </summary>
internal static class BenchRegisters
{
    /// <summary>Not a maker of cards: the vendor id that emulators use for devices of their own.</summary>
    internal const ushort VendorId = 0x1234;

    /// <summary>No driver claims it: of that vendor only 1111 (display) and 11e8 (a teaching device) are in use.</summary>
    internal const ushort DeviceId = 0xBE7C;

    /// <summary>BAR 0, 64 KiB of storage.</summary>
    internal const int BarIndex = 0;

    internal const int BarSize = 0x10000;

    /// <summary>4 bytes: one of <see cref="BenchOperation"/>.</summary>
    internal const int Operation = 0xF000;

    /// <summary>8 bytes: how many accesses.</summary>
    internal const int Iterations = 0xF008;

    /// <summary>8 bytes: I/O virtual address of the first region.</summary>
    internal const int BaseIova = 0xF010;

    /// <summary>8 bytes: distance from one region to the next.</summary>
    internal const int Stride = 0xF018;

    /// <summary>8 bytes: how many regions; 0 counts as 1.</summary>
    internal const int Regions = 0xF020;

    /// <summary>8 bytes: length of an access.</summary>
    internal const int Length = 0xF028;

    /// <summary>8 bytes, out: time taken.</summary>
    internal const int Nanoseconds = 0xF030;

    /// <summary>8 bytes, out: accesses that succeeded.</summary>
    internal const int Succeeded = 0xF038;

    /// <summary>8 bytes: one of <see cref="BenchPattern"/>.</summary>
    internal const int Pattern = 0xF040;
}
