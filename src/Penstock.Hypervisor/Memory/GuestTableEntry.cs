using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>An entry of a table in guest memory: 8 big-endian bytes.</summary>
internal static unsafe class GuestTableEntry
{
    /// <summary>
    /// Reads an entry, at one go where memory can be touched directly, for the guest may write it meanwhile. The memory is held by the caller, who has
    /// checked that the entry is in it. Allocates nothing.
    /// </summary>
    /// <param name="memory">The memory.</param>
    /// <param name="offset">Where in it, a multiple of 8.</param>
    /// <param name="entry">Receives the entry in this machine's byte order; 0 when it cannot be read.</param>
    /// <returns>Whether it can be read: memory that is reached by messages cannot.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal static bool TryRead(UserMemory memory, ulong offset, out ulong entry)
    {
        nint direct = memory.DirectAddress;
        if (direct != 0)
        {
            // SAFETY: the caller holds the memory and has checked the place.
            entry = OfGuest(Volatile.Read(ref *(ulong*)(direct + (nint)offset)));
            return true;
        }

        entry = 0;
        bool there = TryCopy(memory, offset, MemoryMarshal.AsBytes(new Span<ulong>(ref entry)));
        entry = there ? OfGuest(entry) : 0;
        return there;
    }

    /// <summary>Copies a piece of a table, for memory that cannot be touched directly.</summary>
    internal static bool TryCopy(UserMemory memory, ulong offset, Span<byte> bytes) => !memory.NeedsMessages && memory.Read(offset, bytes) == Errno.None;

    /// <summary>An entry as the guest has it in this machine's byte order.</summary>
    internal static ulong OfGuest(ulong entry) => BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(entry) : entry;
}
