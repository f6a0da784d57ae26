using System.Buffers;
using System.Buffers.Binary;
using System.Text;

namespace Penstock.Vfio;

/// <summary>Puts one record of a device's state together.</summary>
internal sealed class RecordBuilder
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    public RecordBuilder(uint kind)
    {
        Number(kind);
        Number(0u);
    }

    public RecordBuilder Number(ushort value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ushort)];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, value);
        return Raw(bytes);
    }

    public RecordBuilder Number(uint value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(uint)];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return Raw(bytes);
    }

    public RecordBuilder Number(ulong value)
    {
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(bytes, value);
        return Raw(bytes);
    }

    public RecordBuilder Name(string name)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(name);
        return Raw([(byte)bytes.Length]).Raw(bytes);
    }

    public RecordBuilder Raw(ReadOnlySpan<byte> bytes)
    {
        _bytes.Write(bytes);
        return this;
    }

    /// <summary>The whole record.</summary>
    public byte[] Build()
    {
        byte[] all = _bytes.WrittenSpan.ToArray();
        BinaryPrimitives.WriteUInt32LittleEndian(all.AsSpan(sizeof(uint)), (uint)(all.Length - DeviceStateFormat.RecordHeader));
        return all;
    }
}
