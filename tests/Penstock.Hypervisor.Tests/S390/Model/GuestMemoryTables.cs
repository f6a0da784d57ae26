using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>Tables in the memory of a machine.</summary>
internal static class GuestMemoryTables
{
    /// <summary>Creates tables in guest memory, in which nothing is mapped. They lie in one slot, which stays for as long as they are used.</summary>
    public static GuestTables Create(
        GuestMemory memory, ulong first, ulong length, ZpciDesignationType type = ZpciDesignationType.RegionThird)
    {
        // The slot's memory itself: holding the slot for each of millions of entries takes its time.
        GuestMemorySlot slot = memory.Slots.Single(s => s.Address <= first && first + length <= s.Address + s.Length);
        ulong Read(ulong address)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            Check(slot.Memory.Read(slot.Offset + (address - slot.Address), bytes));
            return BinaryPrimitives.ReadUInt64BigEndian(bytes);
        }

        void Write(ulong address, ulong entry)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(bytes, entry);
            Check(slot.Memory.Write(slot.Offset + (address - slot.Address), bytes));
        }

        static void Check(Errno errno)
        {
            if (errno != Errno.None)
            {
                Assert.Fail($"the guest's tables are not in its memory: {errno}");
            }
        }

        return new GuestTables(Read, Write, first, length, type);
    }
}
