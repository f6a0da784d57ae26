using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The commands under way as they travel: a record for each slot.</summary>
internal sealed class NvmeCommandImage(int slots)
{
    private const int CommandAt = 16;
    private const int RecordLength = CommandAt + NvmeCommand.Length;

    private readonly byte[] _bytes = new byte[slots * RecordLength];

    internal int Length => _bytes.Length;

    internal static void Save(Span<byte> records, NvmeSlot slot)
    {
        Span<byte> record = records.Slice(slot.Index * RecordLength, RecordLength);
        record[0] = (byte)(slot.State == NvmeSlotState.Working ? NvmeSlotState.Taken : slot.State);
        BinaryPrimitives.WriteUInt16LittleEndian(record[2..], slot.Queue!.Id);
        BinaryPrimitives.WriteUInt16LittleEndian(record[4..], (ushort)slot.Status);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], slot.Result);
        MemoryMarshal.Write(record[CommandAt..], slot.Command);
    }

    internal void Load(ReadOnlySpan<byte> bytes) => bytes.CopyTo(_bytes);

    internal bool TryTake(int slot, out Record taken)
    {
        ReadOnlySpan<byte> record = _bytes.AsSpan(slot * RecordLength, RecordLength);
        taken = new Record(
            (NvmeSlotState)record[0],
            BinaryPrimitives.ReadUInt16LittleEndian(record[2..]),
            (NvmeStatus)BinaryPrimitives.ReadUInt16LittleEndian(record[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(record[8..]),
            MemoryMarshal.Read<NvmeCommand>(record[CommandAt..]));
        return taken.State != NvmeSlotState.Free;
    }

    /// <summary>One command.</summary>
    /// <param name="State">How far it is.</param>
    /// <param name="Queue">Its submission queue.</param>
    /// <param name="Status">Its status, if it has one.</param>
    /// <param name="Result">Its result, if it has one.</param>
    /// <param name="Command">The command.</param>
    internal readonly record struct Record(NvmeSlotState State, ushort Queue, NvmeStatus Status, uint Result, NvmeCommand Command);
}
