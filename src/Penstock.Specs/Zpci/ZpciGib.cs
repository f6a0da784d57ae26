using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>
/// Guest information block: the alert list, registered once with the channel subsystem. Big-endian where it is read and written.
/// </summary>
public struct ZpciGib
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 32;

    /// <summary>First guest interruption state area that alerts; 0 for none.</summary>
    public uint AlertListOrigin { get; set; }

    /// <summary>Interruption subclass of the alerts (nisc) in the low three bits.</summary>
    public byte Subclass { get; set; }

    /// <summary>Value of <see cref="AlertListOrigin"/> that keeps firmware from adding to the list.</summary>
    public const uint None = 1;

    /// <summary>The subclass in <see cref="Subclass"/>.</summary>
    public const byte SubclassMask = 7;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciGib Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciGib
        {
            AlertListOrigin = BinaryPrimitives.ReadUInt32BigEndian(source),
            Subclass = source[8],
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt32BigEndian(destination, AlertListOrigin);
        destination[8] = Subclass;
    }
}
