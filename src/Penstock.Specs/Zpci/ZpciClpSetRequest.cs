using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Request of SET PCI FUNCTION. Big-endian where it is read and written.</summary>
public struct ZpciClpSetRequest
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Handle of the function.</summary>
    public uint Handle { get; set; }

    /// <summary>What to do.</summary>
    public ZpciSetOperation Operation { get; set; }

    /// <summary>How many DMA address spaces are to be used; 1 when enabling.</summary>
    public byte DmaSpaces { get; set; }

    /// <summary>The machine whose interrupts firmware delivers (GISA designation); 0 for none.</summary>
    public uint Designation { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpSetRequest Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpSetRequest
        {
            Header = ZpciClpHeader.Read(source),
            Handle = BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
            Operation = (ZpciSetOperation)source[22],
            DmaSpaces = source[23],
            Designation = BinaryPrimitives.ReadUInt32BigEndian(source[28..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        Header.Write(destination);
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], Handle);
        destination[22] = (byte)Operation;
        destination[23] = DmaSpaces;
        BinaryPrimitives.WriteUInt32BigEndian(destination[28..], Designation);
    }
}
