using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>
/// Function information block: the operand of MPCIFC and STPCIFC, aligned to 8 bytes in guest memory. Big-endian where it is read and
/// written.
/// </summary>
public struct ZpciFib
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 80;

    /// <summary><see cref="AdapterInterrupts"/> or <see cref="DirectedInterrupts"/>.</summary>
    public byte Format { get; set; }

    /// <summary>What STPCIFC says of the function.</summary>
    public ZpciFunctionControls Controls { get; set; }

    /// <summary>First DMA address (pba).</summary>
    public ulong FirstAddress { get; set; }

    /// <summary>Last DMA address (pal).</summary>
    public ulong LastAddress { get; set; }

    /// <summary>I/O translation anchor; <see cref="ZpciIota"/>.</summary>
    public ulong Iota { get; set; }

    /// <summary>How interrupts are told of; <see cref="ZpciInterruptWord"/> in format 0.</summary>
    public uint InterruptWord { get; set; }

    /// <summary>Address of the interrupt bit vector (aibv).</summary>
    public ulong VectorAddress { get; set; }

    /// <summary>Address of the summary bit vector (aisb).</summary>
    public ulong SummaryAddress { get; set; }

    /// <summary>Address of the measurement block, with its key in <see cref="MeasurementKeyMask"/>.</summary>
    public ulong Measurement { get; set; }

    /// <summary>Guest (GISA) designation.</summary>
    public uint Designation { get; set; }

    /// <summary>Alignment of the block in guest memory.</summary>
    public const int Alignment = 8;

    /// <summary>Format of adapter interrupts.</summary>
    public const byte AdapterInterrupts = 0;

    /// <summary>Format of directed interrupts.</summary>
    public const byte DirectedInterrupts = 1;

    /// <summary>Storage key in <see cref="Measurement"/>.</summary>
    public const ulong MeasurementKeyMask = 0xf;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciFib Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciFib
        {
            Format = source[0],
            Controls = (ZpciFunctionControls)source[8],
            FirstAddress = BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            LastAddress = BinaryPrimitives.ReadUInt64BigEndian(source[24..]),
            Iota = BinaryPrimitives.ReadUInt64BigEndian(source[32..]),
            InterruptWord = BinaryPrimitives.ReadUInt32BigEndian(source[40..]),
            VectorAddress = BinaryPrimitives.ReadUInt64BigEndian(source[48..]),
            SummaryAddress = BinaryPrimitives.ReadUInt64BigEndian(source[56..]),
            Measurement = BinaryPrimitives.ReadUInt64BigEndian(source[64..]),
            Designation = BinaryPrimitives.ReadUInt32BigEndian(source[76..]),
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
        destination[8] = (byte)Controls;
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], FirstAddress);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], LastAddress);
        BinaryPrimitives.WriteUInt64BigEndian(destination[32..], Iota);
        BinaryPrimitives.WriteUInt32BigEndian(destination[40..], InterruptWord);
        BinaryPrimitives.WriteUInt64BigEndian(destination[48..], VectorAddress);
        BinaryPrimitives.WriteUInt64BigEndian(destination[56..], SummaryAddress);
        BinaryPrimitives.WriteUInt64BigEndian(destination[64..], Measurement);
        BinaryPrimitives.WriteUInt32BigEndian(destination[76..], Designation);
    }
}
