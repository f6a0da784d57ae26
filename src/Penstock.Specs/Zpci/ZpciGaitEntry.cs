using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>
/// Entry of the guest adapter interruption table; one per function with interrupts. Big-endian where it is read and written.
/// </summary>
public struct ZpciGaitEntry
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 16;

    /// <summary>GISA designation; 0 always alerts the host.</summary>
    public uint Designation { get; set; }

    /// <summary>The guest's interruption subclass (gisc).</summary>
    public byte Subclass { get; set; }

    /// <summary>How many functions use the entry.</summary>
    public byte Count { get; set; }

    /// <summary>Bit of the guest's summary (aisbo).</summary>
    public byte SummaryOffset { get; set; }

    /// <summary>Host address of the guest's summary (aisb).</summary>
    public ulong SummaryAddress { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciGaitEntry Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciGaitEntry
        {
            Designation = BinaryPrimitives.ReadUInt32BigEndian(source),
            Subclass = source[4],
            Count = source[5],
            SummaryOffset = source[7],
            SummaryAddress = BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(destination, Designation);
        destination[4] = Subclass;
        destination[5] = Count;
        destination[7] = SummaryOffset;
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], SummaryAddress);
    }
}
