using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>Response of QUERY PCI FUNCTION. Big-endian where it is read and written.</summary>
public struct ZpciClpQueryFunctionResponse
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 384;

    /// <summary>Lengths and code.</summary>
    public ZpciClpHeader Header { get; set; }

    /// <summary>Number of the virtual function (vfn).</summary>
    public ushort VirtualFunction { get; set; }

    /// <summary><see cref="TargetIdValid"/> and its neighbours.</summary>
    public byte Flags { get; set; }

    /// <summary>Id of the group (pfgid).</summary>
    public byte Group { get; set; }

    /// <summary>Id of the function.</summary>
    public uint FunctionId { get; set; }

    /// <summary>Log2 of the sizes of the BARs; 0 for none.</summary>
    public ZpciBarSizes BarSizes { get; set; }

    /// <summary>Physical channel id (pchid).</summary>
    public ushort PhysicalChannel { get; set; }

    /// <summary>The BARs.</summary>
    public ZpciBars Bars { get; set; }

    /// <summary>Path to the function in the machine, its first byte highest (pfip).</summary>
    public uint Path { get; set; }

    /// <summary>Parameter of the id.</summary>
    public byte IdParameter { get; set; }

    /// <summary>Port in the low four bits.</summary>
    public byte Port { get; set; }

    /// <summary>Length of the measurement block in words (fmbl).</summary>
    public byte MeasurementWords { get; set; }

    /// <summary>Type of the function (pft).</summary>
    public byte FunctionType { get; set; }

    /// <summary>First address of DMA (sdma).</summary>
    public ulong StartDma { get; set; }

    /// <summary>Last address of DMA (edma).</summary>
    public ulong EndDma { get; set; }

    /// <summary>Requester id.</summary>
    public ushort RequesterId { get; set; }

    /// <summary>Target id.</summary>
    public ushort TargetId { get; set; }

    /// <summary>User-defined id; 0 for none.</summary>
    public uint UserId { get; set; }

    /// <summary>A text about the function, in EBCDIC.</summary>
    public ZpciDescription Util { get; set; }

    /// <summary>Which of <see cref="Mio"/> are valid: 6 bits, that of BAR 0 highest of eight.</summary>
    public byte MioValid { get; set; }

    /// <summary>Addresses for loads and stores by address: per BAR write-back and write-through.</summary>
    public ZpciMioAddresses Mio { get; set; }

    /// <summary>The target id is valid, in <see cref="Flags"/>.</summary>
    public const byte TargetIdValid = 0x20;

    /// <summary>The requester id is valid, in <see cref="Flags"/>.</summary>
    public const byte RequesterIdValid = 0x10;

    /// <summary>A physical function, in <see cref="Flags"/>.</summary>
    public const byte PhysicalFunction = 0x08;

    /// <summary>The addresses for loads and stores by address are valid, in <see cref="Flags"/>.</summary>
    public const byte MioAddressesValid = 0x02;

    /// <summary>The text is valid, in <see cref="Flags"/>.</summary>
    public const byte UtilValid = 0x01;

    /// <summary>Type of an internal shared memory function (ISM).</summary>
    public const byte IsmFunction = 5;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpQueryFunctionResponse Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpQueryFunctionResponse
        {
            Header = ZpciClpHeader.Read(source),
            VirtualFunction = BinaryPrimitives.ReadUInt16BigEndian(source[16..]),
            Flags = source[18],
            Group = source[19],
            FunctionId = BinaryPrimitives.ReadUInt32BigEndian(source[20..]),
            BarSizes = ZpciBarSizes.Read(source[24..]),
            PhysicalChannel = BinaryPrimitives.ReadUInt16BigEndian(source[30..]),
            Bars = ZpciBars.Read(source[32..]),
            Path = BinaryPrimitives.ReadUInt32BigEndian(source[56..]),
            IdParameter = source[60],
            Port = source[61],
            MeasurementWords = source[62],
            FunctionType = source[63],
            StartDma = BinaryPrimitives.ReadUInt64BigEndian(source[64..]),
            EndDma = BinaryPrimitives.ReadUInt64BigEndian(source[72..]),
            RequesterId = BinaryPrimitives.ReadUInt16BigEndian(source[80..]),
            TargetId = BinaryPrimitives.ReadUInt16BigEndian(source[86..]),
            UserId = BinaryPrimitives.ReadUInt32BigEndian(source[124..]),
            Util = ZpciDescription.Read(source[128..]),
            MioValid = source[256],
            Mio = ZpciMioAddresses.Read(source[264..]),
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
        BinaryPrimitives.WriteUInt16BigEndian(destination[16..], VirtualFunction);
        destination[18] = Flags;
        destination[19] = Group;
        BinaryPrimitives.WriteUInt32BigEndian(destination[20..], FunctionId);
        BarSizes.Write(destination[24..]);
        BinaryPrimitives.WriteUInt16BigEndian(destination[30..], PhysicalChannel);
        Bars.Write(destination[32..]);
        BinaryPrimitives.WriteUInt32BigEndian(destination[56..], Path);
        destination[60] = IdParameter;
        destination[61] = Port;
        destination[62] = MeasurementWords;
        destination[63] = FunctionType;
        BinaryPrimitives.WriteUInt64BigEndian(destination[64..], StartDma);
        BinaryPrimitives.WriteUInt64BigEndian(destination[72..], EndDma);
        BinaryPrimitives.WriteUInt16BigEndian(destination[80..], RequesterId);
        BinaryPrimitives.WriteUInt16BigEndian(destination[86..], TargetId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[124..], UserId);
        Util.Write(destination[128..]);
        destination[256] = MioValid;
        Mio.Write(destination[264..]);
    }
}
