using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>An error event, as store event information gives it to a guest. Big-endian where it is read and written.</summary>
public struct ZpciErrorEventBlock
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Handle of the function.</summary>
    public uint Handle { get; set; }

    /// <summary>Id of the function.</summary>
    public uint FunctionId { get; set; }

    /// <summary>From the top: 4 bits table type, 12 bits vector, 8 bits DMA space, 6 reserved, qualifier, write.</summary>
    public uint Details { get; set; }

    /// <summary>Where it failed.</summary>
    public ulong Address { get; set; }

    /// <summary>What failed.</summary>
    public ZpciErrorEvent Code { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciErrorEventBlock Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciErrorEventBlock
        {
            Handle = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            FunctionId = BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            Details = BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
            Address = BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            Code = (ZpciErrorEvent)BinaryPrimitives.ReadUInt16BigEndian(source[30..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Handle);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], FunctionId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], Details);
        BinaryPrimitives.WriteUInt64BigEndian(destination[16..], Address);
        BinaryPrimitives.WriteUInt16BigEndian(destination[30..], (ushort)Code);
    }
}
