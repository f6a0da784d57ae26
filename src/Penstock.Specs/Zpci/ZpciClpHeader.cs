using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>
/// Begin of a CLP request and of a response: their lengths, and what is asked or how it went. Bytes 4 to 7 hold the format in their
/// top four bits. Big-endian where it is read and written.
/// </summary>
public struct ZpciClpHeader
{
    /// <summary>Length of the header in bytes.</summary>
    public const int Length = 16;

    /// <summary>Length of the request or of the response in bytes.</summary>
    public ushort BlockLength { get; set; }

    /// <summary>A <see cref="ZpciClpCommand"/> in a request, a <see cref="ZpciClpResponse"/> in a response.</summary>
    public ushort Code { get; set; }

    /// <summary>Format in <see cref="FormatShift"/>; the rest is reserved.</summary>
    public uint FormatWord { get; set; }

    /// <summary>Reserved.</summary>
    public ulong Reserved { get; set; }

    /// <summary>How far the format is shifted left in <see cref="FormatWord"/>.</summary>
    public const int FormatShift = 28;

    /// <summary>The format.</summary>
    public readonly uint Format => FormatWord >> FormatShift;

    /// <summary>Whether all reserved bytes are 0.</summary>
    public readonly bool IsReservedZero => (FormatWord << (32 - FormatShift)) == 0 && Reserved == 0;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpHeader Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpHeader
        {
            BlockLength = BinaryPrimitives.ReadUInt16BigEndian(source),
            Code = BinaryPrimitives.ReadUInt16BigEndian(source[2..]),
            FormatWord = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            Reserved = BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(destination, BlockLength);
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], Code);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], FormatWord);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Reserved);
    }
}
