using System.Buffers.Binary;
using System.Text;

namespace Penstock.VfioUser.Tests;

/// <summary>Builds bytes field by field, little-endian.</summary>
internal sealed class Payload
{
    private readonly List<byte> _bytes = [];

    public static implicit operator byte[](Payload payload) => [.. payload._bytes];

    public Payload U16(params ReadOnlySpan<ushort> values)
    {
        Span<byte> field = stackalloc byte[sizeof(ushort)];
        foreach (ushort value in values)
        {
            BinaryPrimitives.WriteUInt16LittleEndian(field, value);
            _bytes.AddRange(field);
        }

        return this;
    }

    public Payload U32(params ReadOnlySpan<uint> values)
    {
        Span<byte> field = stackalloc byte[sizeof(uint)];
        foreach (uint value in values)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(field, value);
            _bytes.AddRange(field);
        }

        return this;
    }

    public Payload U64(params ReadOnlySpan<ulong> values)
    {
        Span<byte> field = stackalloc byte[sizeof(ulong)];
        foreach (ulong value in values)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(field, value);
            _bytes.AddRange(field);
        }

        return this;
    }

    public Payload Bytes(ReadOnlySpan<byte> bytes)
    {
        _bytes.AddRange(bytes);
        return this;
    }

    public byte[] ToBytes() => this;

    public Payload Text(string text) => Bytes(Encoding.UTF8.GetBytes(text));
}
