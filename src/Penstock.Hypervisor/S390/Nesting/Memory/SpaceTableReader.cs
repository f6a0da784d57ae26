using System.Runtime.CompilerServices;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Reads entries of a guest's tables out of its memory without a lock, inside a scope or while the memory is held. <see cref="GuestTableReader"/> is for those who
/// have neither.
/// </summary>
internal readonly unsafe struct SpaceTableReader(IGuestSpace space) : ITableReader
{
    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool TryRead(ulong address, out ulong entry)
    {
        if (space.Find(address, DmaAccess.Read, out DmaTarget target) == Errno.None && target.Length >= ZpciIoTable.EntrySize)
        {
            return GuestTableEntry.TryRead(target.Memory, target.Offset, out entry);
        }

        entry = 0;
        return false;
    }

    /// <summary>Looks at a piece of a table, or copies it.</summary>
    /// <param name="address">Guest address of the first entry.</param>
    /// <param name="entries">How many entries.</param>
    /// <param name="copy">Room for as many, for memory that cannot be touched directly.</param>
    /// <returns>The entries as the guest has them, big-endian; null when they cannot be read.</returns>
    internal ulong* Look(ulong address, int entries, ulong* copy)
    {
        int length = entries * ZpciIoTable.EntrySize;
        if (space.Find(address, DmaAccess.Read, out DmaTarget target) != Errno.None || target.Length < (ulong)length)
        {
            return null;
        }

        nint direct = target.Memory.DirectAddress;
        if (direct != 0)
        {
            return (ulong*)(direct + (nint)target.Offset);
        }

        // SAFETY: the caller has room for as many.
        return GuestTableEntry.TryCopy(target.Memory, target.Offset, new Span<byte>(copy, length)) ? copy : null;
    }
}
