using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The commands under way as they travel: a record for each job.</summary>
internal sealed class NvmeCommandImage(int jobs)
{
    private const int CommandAt = 16;
    private const int RecordLength = CommandAt + NvmeCommand.Length;

    private readonly byte[] _bytes = new byte[jobs * RecordLength];

    internal int Length => _bytes.Length;

    internal static void Save(Span<byte> records, NvmeJob job)
    {
        Span<byte> record = records.Slice(job.Index * RecordLength, RecordLength);
        record[0] = (byte)(job.State == NvmeJobState.Working ? NvmeJobState.Taken : job.State);
        BinaryPrimitives.WriteUInt16LittleEndian(record[2..], job.Queue!.Id);
        BinaryPrimitives.WriteUInt16LittleEndian(record[4..], (ushort)job.Status);
        BinaryPrimitives.WriteUInt32LittleEndian(record[8..], job.Result);
        MemoryMarshal.Write(record[CommandAt..], job.Command);
    }

    internal void Load(ReadOnlySpan<byte> bytes) => bytes.CopyTo(_bytes);

    internal bool TryTake(int job, out Record taken)
    {
        ReadOnlySpan<byte> record = _bytes.AsSpan(job * RecordLength, RecordLength);
        taken = new Record(
            (NvmeJobState)record[0],
            BinaryPrimitives.ReadUInt16LittleEndian(record[2..]),
            (NvmeStatus)BinaryPrimitives.ReadUInt16LittleEndian(record[4..]),
            BinaryPrimitives.ReadUInt32LittleEndian(record[8..]),
            MemoryMarshal.Read<NvmeCommand>(record[CommandAt..]));
        return taken.State != NvmeJobState.Free;
    }

    /// <summary>One command.</summary>
    /// <param name="State">How far it is.</param>
    /// <param name="Queue">Its submission queue.</param>
    /// <param name="Status">Its status, if it has one.</param>
    /// <param name="Result">Its result, if it has one.</param>
    /// <param name="Command">The command.</param>
    internal readonly record struct Record(NvmeJobState State, ushort Queue, NvmeStatus Status, uint Result, NvmeCommand Command);
}
