using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Request of QUERY PCI FUNCTION and of QUERY PCI FUNCTION GROUP. Big-endian where it is read and written.</summary>
public struct ZpciClpQueryRequest
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Handle of the function, or id of the group in its low byte.</summary>
    public uint Subject { get; set; }

    /// <summary>Id of the group in <see cref="Subject"/>.</summary>
    public const uint GroupMask = 0xff;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpQueryRequest Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpQueryRequest
        {
            Header = ZpciClpHeader.Read(source),
            Subject = BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
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
        BinaryPrimitives.WriteUInt32BigEndian(destination[16..], Subject);
    }
}
