using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Response of LIST PCI before its entries. Big-endian where it is read and written.</summary>
public struct ZpciClpListResponse
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Where the next request goes on: an index; 0 when this was all.</summary>
    public ulong ResumeToken { get; set; }

    /// <summary>Mask of the bits of a handle that software uses (mdd).</summary>
    public uint HypervisorMask { get; set; }

    /// <summary>Most functions.</summary>
    public ushort MaximumFunctions { get; set; }

    /// <summary><see cref="UniqueIds"/>.</summary>
    public byte Flags { get; set; }

    /// <summary>Length of an entry; <see cref="ZpciClpListEntry.Length"/>.</summary>
    public byte EntryLength { get; set; }

    /// <summary>The user-defined ids are unique, in <see cref="Flags"/>.</summary>
    public const byte UniqueIds = 1;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpListResponse Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpListResponse
        {
            Header = ZpciClpHeader.Read(source),
            ResumeToken = BinaryPrimitives.ReadUInt64BigEndian(source[16..]),
            HypervisorMask = BinaryPrimitives.ReadUInt32BigEndian(source[24..]),
            MaximumFunctions = BinaryPrimitives.ReadUInt16BigEndian(source[28..]),
            Flags = source[30],
            EntryLength = source[31],
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
        BinaryPrimitives.WriteUInt32BigEndian(destination[24..], HypervisorMask);
        BinaryPrimitives.WriteUInt16BigEndian(destination[28..], MaximumFunctions);
        destination[30] = Flags;
        destination[31] = EntryLength;
    }
}
