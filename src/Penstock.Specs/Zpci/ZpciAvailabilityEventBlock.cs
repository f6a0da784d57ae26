using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>An availability event, as store event information gives it to a guest. Big-endian where it is read and written.</summary>
public struct ZpciAvailabilityEventBlock
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Handle of the function.</summary>
    public uint Handle { get; set; }

    /// <summary>Id of the function.</summary>
    public uint FunctionId { get; set; }

    /// <summary>What happened.</summary>
    public ZpciAvailabilityEvent Code { get; set; }

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciAvailabilityEventBlock Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciAvailabilityEventBlock
        {
            Handle = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            FunctionId = BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            Code = (ZpciAvailabilityEvent)BinaryPrimitives.ReadUInt16BigEndian(source[30..]),
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
        BinaryPrimitives.WriteUInt16BigEndian(destination[30..], (ushort)Code);
    }
}
