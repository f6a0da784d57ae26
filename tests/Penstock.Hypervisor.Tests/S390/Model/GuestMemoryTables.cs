using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Model;

/// <summary>Tables in the memory of a machine.</summary>
internal static class GuestMemoryTables
{
    /// <summary>Creates tables in guest memory, in which nothing is mapped.</summary>
    public static GuestTables Create(
        GuestMemory memory, ulong first, ulong length, ZpciDesignationType type = ZpciDesignationType.RegionThird)
    {
        ulong Read(ulong address)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            Assert.Equal(Errno.None, memory.Read(address, bytes));
            return BinaryPrimitives.ReadUInt64BigEndian(bytes);
        }

        void Write(ulong address, ulong entry)
        {
            Span<byte> bytes = stackalloc byte[sizeof(ulong)];
            BinaryPrimitives.WriteUInt64BigEndian(bytes, entry);
            Assert.Equal(Errno.None, memory.Write(address, bytes));
        }

        return new GuestTables(Read, Write, first, length, type);
    }
}
