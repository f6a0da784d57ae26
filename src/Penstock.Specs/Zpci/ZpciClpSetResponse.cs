using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Response of SET PCI FUNCTION. Big-endian where it is read and written.</summary>
public struct ZpciClpSetResponse
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>The handle from now on.</summary>
    public uint Handle { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpSetResponse Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpSetResponse
        {
            Header = ZpciClpHeader.Read(source),
            Handle = BinaryPrimitives.ReadUInt32BigEndian(source[16..]),
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
    }
}
