using System.Buffers.Binary;

namespace Penstock.VfioUser.Tests;

/// <summary>A message as it came, taken apart by hand.</summary>
internal sealed record WireMessage(byte[] Bytes)
{
    public const int HeaderLength = 16;

    public ushort Id => BinaryPrimitives.ReadUInt16LittleEndian(Bytes);

    public ushort Command => BinaryPrimitives.ReadUInt16LittleEndian(Bytes.AsSpan(2));

    public uint Size => BinaryPrimitives.ReadUInt32LittleEndian(Bytes.AsSpan(4));

    public uint Flags => BinaryPrimitives.ReadUInt32LittleEndian(Bytes.AsSpan(8));

    public uint Error => BinaryPrimitives.ReadUInt32LittleEndian(Bytes.AsSpan(12));

    public byte[] Body => Bytes[HeaderLength..];

    public bool IsCommand => (Flags & 0xf) == 0;

    public uint U32(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(Bytes.AsSpan(HeaderLength + offset));

    public ulong U64(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(Bytes.AsSpan(HeaderLength + offset));
}
