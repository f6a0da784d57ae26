using System.Buffers.Binary;
using System.Runtime.CompilerServices;

namespace Penstock.Specs.Zpci;

/// <summary>Addresses for loads and stores by address: for each of six BARs the write-back and the write-through one.</summary>
[InlineArray(Count)]
public struct ZpciMioAddresses
{
    /// <summary>How many there are.</summary>
    public const int Count = 12;

    private ulong _first;

    internal static ZpciMioAddresses Read(ReadOnlySpan<byte> source)
    {
        ZpciMioAddresses value = default;
        for (int i = 0; i < Count; i++)
        {
            value[i] = BinaryPrimitives.ReadUInt64BigEndian(source[(i * sizeof(ulong))..]);
        }

        return value;
    }

    internal readonly void Write(Span<byte> destination)
    {
        for (int i = 0; i < Count; i++)
        {
            BinaryPrimitives.WriteUInt64BigEndian(destination[(i * sizeof(ulong))..], this[i]);
        }
    }
}
