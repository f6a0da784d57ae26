using System.Numerics;
using System.Runtime.InteropServices;

namespace Penstock.Vfio;

/// <summary>
/// The stream: records of a kind, a length and that many bytes, numbers little-endian. First comes Start, last End. See
/// docs/migration.md.
/// </summary>
internal static class DeviceStateFormat
{
    /// <summary>Version of the stream, not of what is in it.</summary>
    public const ushort Version = 1;

    /// <summary>Kind and length.</summary>
    public const int RecordHeader = 8;

    /// <summary>Smallest part of memory that is saved again when it has changed.</summary>
    public const int Page = 4096;

    /// <summary>Longest part of memory in one record.</summary>
    public const int LargestPart = 16 * Page;

    public const uint Start = 1;
    public const uint Fields = 2;
    public const uint Memory = 3;
    public const uint End = 4;
    public const uint Restart = 5;

    public static ReadOnlySpan<byte> Magic => "PENSTOCK"u8;

    /// <summary>CRC-32C over all bytes before the last record.</summary>
    public static uint Add(uint sum, ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
        {
            sum = BitOperations.Crc32C(sum, word);
        }

        foreach (byte b in bytes[(words.Length * sizeof(ulong))..])
        {
            sum = BitOperations.Crc32C(sum, b);
        }

        return sum;
    }
}
