using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Request of LIST PCI. Big-endian where it is read and written.</summary>
public struct ZpciClpListRequest
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Where to go on; 0 for the begin.</summary>
    public ulong ResumeToken { get; set; }

    /// <summary>Reserved.</summary>
    public ulong Reserved { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpListRequest Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpListRequest
        {
            Header = ZpciClpHeader.Read(source),
            ResumeToken = BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            Reserved = BinaryPrimitives.ReadUInt64BigEndian(source[24..]),
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
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], ResumeToken);
        BinaryPrimitives.WriteUInt64BigEndian(destination[24..], Reserved);
    }
}
