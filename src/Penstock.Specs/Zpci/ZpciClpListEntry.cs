using System.Buffers.Binary;

namespace Penstock.Specs.Zpci;

/// <summary>A function in the response of LIST PCI. Big-endian where it is read and written.</summary>
public struct ZpciClpListEntry
{
    /// <summary>Length of the block in bytes.</summary>
    public const int Length = 16;

    /// <summary>PCI device id.</summary>
    public ushort DeviceId { get; set; }

    /// <summary>PCI vendor id.</summary>
    public ushort VendorId { get; set; }

    /// <summary><see cref="Configured"/>, or 0 in standby.</summary>
    public uint Configuration { get; set; }

    /// <summary>Id of the function.</summary>
    public uint FunctionId { get; set; }

    /// <summary>Handle of the function.</summary>
    public uint Handle { get; set; }

    /// <summary>The function is configured, in <see cref="Configuration"/>.</summary>
    public const uint Configured = 0x8000_0000;

    /// <summary>Reads it.</summary>
    /// <param name="source">At least <see cref="Length"/> bytes.</param>
    /// <returns>What stands there.</returns>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public static ZpciClpListEntry Read(ReadOnlySpan<byte> source)
    {
        source = source[..Length];
        return new ZpciClpListEntry
        {
            DeviceId = BinaryPrimitives.ReadUInt16BigEndian(source),
            VendorId = BinaryPrimitives.ReadUInt16BigEndian(source[2..]),
            Configuration = BinaryPrimitives.ReadUInt32BigEndian(source[4..]),
            FunctionId = BinaryPrimitives.ReadUInt32BigEndian(source[8..]),
            Handle = BinaryPrimitives.ReadUInt32BigEndian(source[12..]),
        };
    }

    /// <summary>Writes it; what is reserved becomes 0.</summary>
    /// <param name="destination">At least <see cref="Length"/> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">There are fewer bytes.</exception>
    public readonly void Write(Span<byte> destination)
    {
        destination = destination[..Length];
        destination.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(destination, DeviceId);
        BinaryPrimitives.WriteUInt16BigEndian(destination[2..], VendorId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[4..], Configuration);
        BinaryPrimitives.WriteUInt32BigEndian(destination[8..], FunctionId);
        BinaryPrimitives.WriteUInt32BigEndian(destination[12..], Handle);
    }
}
