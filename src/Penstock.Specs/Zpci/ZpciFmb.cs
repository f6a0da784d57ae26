using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Function measurement block of format 0. Big-endian where it is read and written.</summary>
public struct ZpciFmb
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 64;

    /// <summary>Format; 0.</summary>
    public byte Format { get; set; }

    /// <summary>How often it was updated.</summary>
    public uint Samples { get; set; }

    /// <summary>When it was updated, as the clock of the machine has it, with <see cref="Updating"/>.</summary>
    public ulong LastUpdate { get; set; }

    /// <summary>Number of loads.</summary>
    public ulong Loads { get; set; }

    /// <summary>Number of stores.</summary>
    public ulong Stores { get; set; }

    /// <summary>Number of stores of blocks.</summary>
    public ulong BlockStores { get; set; }

    /// <summary>Number of RPCIT.</summary>
    public ulong Refreshes { get; set; }

    /// <summary>Bytes that DMA has read; 0 when they are not counted.</summary>
    public ulong DmaReadBytes { get; set; }

    /// <summary>Bytes that DMA has written; 0 when they are not counted.</summary>
    public ulong DmaWrittenBytes { get; set; }

    /// <summary>The block is being updated, in <see cref="LastUpdate"/>: the lowest bit.</summary>
    public const ulong Updating = 1;

    /// <summary>Offset of <see cref="Samples"/>.</summary>
    public const int SamplesOffset = 4;

    /// <summary>Offset of <see cref="LastUpdate"/>.</summary>
    public const int LastUpdateOffset = 8;

    /// <summary>Offset of <see cref="Loads"/>, the first of four counters.</summary>
    public const int CountersOffset = 16;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciFmb Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciFmb
        {
            Format = source[0],
            Samples = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            LastUpdate = BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            Loads = BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            Stores = BinaryPrimitives.ReadUInt64BigEndian(source[24..]),
            BlockStores = BinaryPrimitives.ReadUInt64BigEndian(source[32..]),
            Refreshes = BinaryPrimitives.ReadUInt64BigEndian(source[40..]),
            DmaReadBytes = BinaryPrimitives.ReadUInt64BigEndian(source[48..]),
            DmaWrittenBytes = BinaryPrimitives.ReadUInt64BigEndian(source[56..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        destination[0] = Format;
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Samples);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], LastUpdate);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], Loads);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], Stores);
        BinaryPrimitives.WriteUInt64BigEndian(destination[32..], BlockStores);
        BinaryPrimitives.WriteUInt64BigEndian(destination[40..], Refreshes);
        BinaryPrimitives.WriteUInt64BigEndian(destination[48..], DmaReadBytes);
        BinaryPrimitives.WriteUInt64BigEndian(destination[56..], DmaWrittenBytes);
    }
}
