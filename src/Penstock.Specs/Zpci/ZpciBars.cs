using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Penstock.Specs.Zpci;

/// <summary>Six BARs; little-endian, as in configuration space.</summary>
[InlineArray(Count)]
public struct ZpciBars
{
    /// <summary>How many there are.</summary>
    public const int Count = 6;

    private uint _first;

    internal static ZpciBars Read(ReadOnlySpan<byte> source)
    {
        ZpciBars value = default;
        for (int i = 0; i < Count; i++)
        {
            value[i] = BinaryPrimitives.ReadUInt32LittleEndian(source[(i * sizeof(uint))..]);
        }

        return value;
    }

    internal readonly void Write(Span<byte> destination)
    {
        for (int i = 0; i < Count; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(destination[(i * sizeof(uint))..], this[i]);
        }
    }
}
