using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The queues of one kind as they travel: a record for each identifier.</summary>
internal sealed class NvmeQueueImage(int queues)
{
    internal const uint Exists = 1;
    internal const uint Phase = 2;
    internal const uint Interrupts = 4;

    private const int RecordLength = 32;

    private readonly byte[] _bytes = new byte[queues * RecordLength];

    internal int Length => _bytes.Length;

    internal void Load(ReadOnlySpan<byte> bytes) => bytes.CopyTo(_bytes);

    internal Record? Take(int id)
    {
        ReadOnlySpan<byte> record = _bytes.AsSpan(id * RecordLength, RecordLength);
        uint flags = BinaryPrimitives.ReadUInt32LittleEndian(record);
        return (flags & Exists) == 0
            ? null
            : new Record(
                flags,
                BinaryPrimitives.ReadUInt16LittleEndian(record[4..]),
                BinaryPrimitives.ReadUInt32LittleEndian(record[8..]),
                BinaryPrimitives.ReadUInt32LittleEndian(record[12..]),
                BinaryPrimitives.ReadUInt32LittleEndian(record[16..]),
                BinaryPrimitives.ReadUInt64LittleEndian(record[24..]));
    }

    /// <summary>One queue.</summary>
    /// <param name="Flags">What it is.</param>
    /// <param name="Other">A completion queue's vector, a submission queue's completion queue.</param>
    /// <param name="Entries">How many entries.</param>
    /// <param name="Head">Its head.</param>
    /// <param name="Tail">Its tail.</param>
    /// <param name="Address">I/O address.</param>
    internal readonly record struct Record(uint Flags, ushort Other, uint Entries, uint Head, uint Tail, ulong Address)
    {
        internal bool IsSet(uint flag) => (Flags & flag) != 0;

        internal bool IsPossible(int mostEntries) =>
            Entries >= NvmeLimits.MinimumQueueEntries && Entries <= (uint)mostEntries && Head < Entries && Tail < Entries
            && (Address & (NvmeLimits.PageSize - 1)) == 0;

        internal void Save(Span<byte> records, int id)
        {
            Span<byte> record = records.Slice(id * RecordLength, RecordLength);
            BinaryPrimitives.WriteUInt32LittleEndian(record, Flags);
            BinaryPrimitives.WriteUInt16LittleEndian(record[4..], Other);
            BinaryPrimitives.WriteUInt32LittleEndian(record[8..], Entries);
            BinaryPrimitives.WriteUInt32LittleEndian(record[12..], Head);
            BinaryPrimitives.WriteUInt32LittleEndian(record[16..], Tail);
            BinaryPrimitives.WriteUInt64LittleEndian(record[24..], Address);
        }
    }
}
