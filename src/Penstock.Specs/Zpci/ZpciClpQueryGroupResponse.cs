using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Response of QUERY PCI FUNCTION GROUP. Big-endian where it is read and written.</summary>
public struct ZpciClpQueryGroupResponse
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 64;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Number of interrupts in <see cref="InterruptsMask"/> (noi).</summary>
    public ushort Interrupts { get; set; }

    /// <summary>Version of PCI.</summary>
    public byte Version { get; set; }

    /// <summary><see cref="RelaxedTranslation"/>, <see cref="Frame"/>, <see cref="Refresh"/>.</summary>
    public byte Flags { get; set; }

    /// <summary>Longest store of a block in bytes in <see cref="MaximumStoreMask"/> (maxstbl).</summary>
    public ushort MaximumStore { get; set; }

    /// <summary>Interval of measurements in ms (mui).</summary>
    public ushort MeasurementInterval { get; set; }

    /// <summary>Which tables can be registered (dtsm); <see cref="ZpciDtsm"/>.</summary>
    public byte DesignationTypes { get; set; }

    /// <summary>Largest frame (maxfaal).</summary>
    public ushort MaximumFrames { get; set; }

    /// <summary>Number of directed interrupts in <see cref="InterruptsMask"/>.</summary>
    public ushort DirectedInterrupts { get; set; }

    /// <summary>Most processors for directed interrupts.</summary>
    public ushort MaximumProcessors { get; set; }

    /// <summary>Which bits of DMA addresses select an address space (dasm).</summary>
    public ulong DmaAddressMask { get; set; }

    /// <summary>Where messages are sent.</summary>
    public ulong MsiAddress { get; set; }

    /// <summary>Translation may be left out, in <see cref="Flags"/>.</summary>
    public const byte RelaxedTranslation = 0x20;

    /// <summary>Large frames can be used, in <see cref="Flags"/>.</summary>
    public const byte Frame = 0x02;

    /// <summary>The guest is to report new mappings too, in <see cref="Flags"/>.</summary>
    public const byte Refresh = 0x01;

    /// <summary>The number in <see cref="Interrupts"/> and <see cref="DirectedInterrupts"/>.</summary>
    public const ushort InterruptsMask = 0xfff;

    /// <summary>The length in <see cref="MaximumStore"/>.</summary>
    public const ushort MaximumStoreMask = 0x1fff;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpQueryGroupResponse Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpQueryGroupResponse
        {
            Header = ZpciClpHeader.Read(source),
            Interrupts = BinaryPrimitives.ReadUInt16BigEndian(source[16..]),
            Version = source[18],
            Flags = source[19],
            MaximumStore = BinaryPrimitives.ReadUInt16BigEndian(source[20..]),
            MeasurementInterval = BinaryPrimitives.ReadUInt16BigEndian(source[22..]),
            DesignationTypes = source[24],
            MaximumFrames = BinaryPrimitives.ReadUInt16BigEndian(source[26..]),
            DirectedInterrupts = BinaryPrimitives.ReadUInt16BigEndian(source[28..]),
            MaximumProcessors = BinaryPrimitives.ReadUInt16BigEndian(source[30..]),
            DmaAddressMask = BinaryPrimitives.ReadUInt64BigEndian(source[32..]),
            MsiAddress = BinaryPrimitives.ReadUInt64BigEndian(source[40..]),
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
        BinaryPrimitives.WriteUInt16BigEndian(destination[16..], Interrupts);
        destination[18] = Version;
        destination[19] = Flags;
        BinaryPrimitives.WriteUInt16BigEndian(destination[20..], MaximumStore);
        BinaryPrimitives.WriteUInt16BigEndian(destination[22..], MeasurementInterval);
        destination[24] = DesignationTypes;
        BinaryPrimitives.WriteUInt16BigEndian(destination[26..], MaximumFrames);
        BinaryPrimitives.WriteUInt16BigEndian(destination[28..], DirectedInterrupts);
        BinaryPrimitives.WriteUInt16BigEndian(destination[30..], MaximumProcessors);
        BinaryPrimitives.WriteUInt64BigEndian(destination[32..], DmaAddressMask);
        BinaryPrimitives.WriteUInt64BigEndian(destination[40..], MsiAddress);
    }
}
