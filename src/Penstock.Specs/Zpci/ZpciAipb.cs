using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Adapter interruption parameter block: what the host tells firmware once. Big-endian where it is read and written.</summary>
public struct ZpciAipb
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 24;

    /// <summary>Address of the host's summary bit vector (faisb).</summary>
    public ulong SummaryVector { get; set; }

    /// <summary>Address of the table of <see cref="ZpciGaitEntry"/> (gait).</summary>
    public ulong Table { get; set; }

    /// <summary>Interruption subclass that the host is told with (afi), in the low three bits.</summary>
    public ushort ForwardingSubclass { get; set; }

    /// <summary>Number of entries of the table (faal).</summary>
    public ushort Entries { get; set; }

    /// <summary>The subclass in <see cref="ForwardingSubclass"/>.</summary>
    public const ushort SubclassMask = 7;

    /// <summary>Number of entries that Linux asks for.</summary>
    public const int UsualEntries = 512;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciAipb Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciAipb
        {
            SummaryVector = BinaryPrimitives.ReadUInt64BigEndian(source),
            Table = BinaryPrimitives.ReadUInt64BigEndian(source[8..]),
            ForwardingSubclass = BinaryPrimitives.ReadUInt16BigEndian(source[16..]),
            Entries = BinaryPrimitives.ReadUInt16BigEndian(source[22..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt64BigEndian(destination, SummaryVector);
        BinaryPrimitives.WriteUInt64BigEndian(destination[8..], Table);
        BinaryPrimitives.WriteUInt16BigEndian(destination[16..], ForwardingSubclass);
        BinaryPrimitives.WriteUInt16BigEndian(destination[22..], Entries);
    }
}
