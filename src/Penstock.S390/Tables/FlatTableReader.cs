using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Penstock.Specs.Zpci;

namespace Penstock.S390;

/// <summary>Reads table entries in one stretch of memory. The caller keeps the memory mapped for as long as it walks.</summary>
public readonly unsafe struct FlatTableReader : ITableReader
{
    private readonly byte* _memory;
    private readonly ulong _first;
    private readonly ulong _length;

    /// <summary>Creates a reader.</summary>
    /// <param name="memory">Address of the memory in this process, aligned to 8.</param>
    /// <param name="length">Length in bytes.</param>
    /// <param name="first">Address of the first byte as tables have it.</param>
    public FlatTableReader(nint memory, ulong length, ulong first = 0)
    {
        _memory = (byte*)memory;
        _first = first;
        _length = length < ZpciIoTable.EntrySize ? 0 : length - (ZpciIoTable.EntrySize - 1);
    }

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRead(ulong address, out ulong entry)
    {
        ulong offset = address - _first;
        if (offset >= _length)
        {
            entry = 0;
            return false;
        }

        // SAFETY: the offset is at most 8 bytes before the end of memory that the caller keeps mapped.
        ulong value = Volatile.Read(ref *(ulong*)(_memory + offset));
        entry = BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(value) : value;
        return true;
    }
}
