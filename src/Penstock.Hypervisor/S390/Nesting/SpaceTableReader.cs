using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>Reads entries of a guest's tables out of its memory, inside a scope or while the memory is held.</summary>
internal readonly unsafe struct SpaceTableReader(IGuestSpace space) : ITableReader
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRead(ulong address, out ulong entry)
    {
        entry = 0;
        if (space.Find(address, DmaAccess.Read, out DmaTarget target) != Errno.None || target.Length < sizeof(ulong))
        {
            return false;
        }

        nint direct = target.Memory.DirectAddress;
        if (direct == 0)
        {
            return TryCopy(target, MemoryMarshal.AsBytes(new Span<ulong>(ref entry))) && Swap(ref entry);
        }

        // SAFETY: the target has at least 8 bytes there. The guest may write them meanwhile: one aligned load is what it had at some moment.
        entry = Volatile.Read(ref *(ulong*)(direct + (nint)target.Offset));
        return Swap(ref entry);
    }

    /// <summary>Looks at a piece of a table, or copies it.</summary>
    /// <param name="address">Guest address of the first entry.</param>
    /// <param name="entries">How many entries.</param>
    /// <param name="copy">Room for as many, for memory that cannot be touched directly.</param>
    /// <returns>The entries as the guest has them, big-endian; null when they cannot be read.</returns>
    internal ulong* Look(ulong address, int entries, ulong* copy)
    {
        if (space.Find(address, DmaAccess.Read, out DmaTarget target) != Errno.None || target.Length < (ulong)entries * sizeof(ulong))
        {
            return null;
        }

        nint direct = target.Memory.DirectAddress;
        if (direct != 0)
        {
            return (ulong*)(direct + (nint)target.Offset);
        }

        // SAFETY: the caller has room for as many.
        return TryCopy(target, new Span<byte>(copy, entries * sizeof(ulong))) ? copy : null;
    }

    private static bool TryCopy(in DmaTarget target, Span<byte> bytes) =>
        !target.Memory.NeedsMessages && target.Memory.Read(target.Offset, bytes) == Errno.None;

    private static bool Swap(ref ulong entry)
    {
        entry = BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(entry) : entry;
        return true;
    }
}
