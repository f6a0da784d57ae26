namespace Penstock.Specs.Zpci;

/// <summary>
/// Guest interruption state area: offsets in bytes and what stands there, big-endian. Firmware and processors change it with interlocked
/// operations, so it is never read or written as a whole.
/// </summary>
public static class ZpciGisa
{
    /// <summary>Length of the area in bytes.</summary>
    public const int Length = 32;

    /// <summary>Alignment of the area; it lies below 2 GiB.</summary>
    public const int Alignment = 32;

    /// <summary>Addresses of areas are below this one.</summary>
    public const uint AddressLimit = 0x8000_0000;

    /// <summary>Next area of the alert list, 4 bytes; its own address when it is on no list.</summary>
    public const int NextAlert = 0;

    /// <summary>Pending interruption subclasses (ipm), 1 byte; see <see cref="FirstSubclass"/>.</summary>
    public const int PendingMask = 4;

    /// <summary>Format 1: subclasses of which one interruption comes through (simm), 1 byte.</summary>
    public const int SingleMask = 5;

    /// <summary>Format 1: subclasses of which no interruption comes through (nimm), 1 byte.</summary>
    public const int NoneMask = 6;

    /// <summary>Format 0: <see cref="FlagGuest"/> and <see cref="FlagCounted"/>, 1 byte.</summary>
    public const int Flags0 = 6;

    /// <summary>Subclasses that alert the host when they become pending (iam), 1 byte.</summary>
    public const int AlertMask = 7;

    /// <summary>Format 1: subclasses of adapter interruptions (aism), 8 bytes.</summary>
    public const int AdapterMask = 8;

    /// <summary>Format 0: number of adapter interruptions, 4 bytes.</summary>
    public const int Count0 = 12;

    /// <summary>Format 1: <see cref="FlagGuest"/> and <see cref="FlagCounted"/>, 1 byte.</summary>
    public const int Flags1 = 16;

    /// <summary>Format 1: number of adapter interruptions, 4 bytes.</summary>
    public const int Count1 = 28;

    /// <summary>Flag g.</summary>
    public const byte FlagGuest = 2;

    /// <summary>Flag c: adapter interruptions are counted.</summary>
    public const byte FlagCounted = 1;

    /// <summary>Subclass 0 in a mask; the others follow to the right.</summary>
    public const byte FirstSubclass = 0x80;

    /// <summary>Number of interruption subclasses.</summary>
    public const int Subclasses = 8;

    /// <summary>Bit of a designation that says that the area has format 1.</summary>
    public const uint DesignationFormat1 = 1;
}
