using System.Buffers.Binary;
using System.Text;

namespace Penstock.Vfio;

/// <summary>Reads a record from front to back. Past its end everything is empty, and <see cref="IsAtEnd"/> stays false.</summary>
internal ref struct RecordCursor(ReadOnlySpan<byte> record)
{
    private ReadOnlySpan<byte> _rest = record;
    private bool _short;

    public readonly bool IsAtEnd => !_short && _rest.IsEmpty;

    public ReadOnlySpan<byte> Bytes(int length)
    {
        if ((uint)length > (uint)_rest.Length)
        {
            _short = true;
            _rest = default;
            return default;
        }

        ReadOnlySpan<byte> bytes = _rest[..length];
        _rest = _rest[length..];
        return bytes;
    }

    public ReadOnlySpan<byte> All() => Bytes(_rest.Length);

    public ushort UInt16() => Bytes(sizeof(ushort)) is { IsEmpty: false } bytes ? BinaryPrimitives.ReadUInt16LittleEndian(bytes) : default;

    public uint UInt32() => Bytes(sizeof(uint)) is { IsEmpty: false } bytes ? BinaryPrimitives.ReadUInt32LittleEndian(bytes) : 0;

    public ulong UInt64() => Bytes(sizeof(ulong)) is { IsEmpty: false } bytes ? BinaryPrimitives.ReadUInt64LittleEndian(bytes) : 0;

    public string Name() => Bytes(1) is { IsEmpty: false } length ? Encoding.UTF8.GetString(Bytes(length[0])) : "";

    public string Rest() => Encoding.UTF8.GetString(All());
}
