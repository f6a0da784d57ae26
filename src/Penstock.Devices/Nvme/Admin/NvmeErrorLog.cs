using System.Buffers.Binary;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>The last errors, newest first when read (NVM Express base specification 1.4, section 5.14.1.1). On the strand only.</summary>
internal sealed class NvmeErrorLog
{
    /// <summary>How many are kept.</summary>
    public const int Entries = 64;

    /// <summary>Size of the log in bytes.</summary>
    public const int Size = Entries * NvmeErrorLogEntry.Length;

    private readonly byte[] _ring = new byte[Size];

    /// <summary>How many there were; the newest has this number.</summary>
    public ulong Count { get; set; }

    /// <summary>The entries as they are kept, each at its number modulo <see cref="Entries"/>, to be saved and loaded.</summary>
    public Span<byte> Ring => _ring;

    /// <summary>Adds one.</summary>
    /// <param name="queue">Submission queue.</param>
    /// <param name="command">The command, a private copy.</param>
    /// <param name="status">Its status.</param>
    /// <param name="parameter">Byte of the command that is wrong, or unknown.</param>
    public void Add(ushort queue, in NvmeCommand command, NvmeStatus status, ushort parameter = NvmeLimits.ErrorParameterUnknown)
    {
        Count++;
        Span<byte> entry = EntryOf(Count);
        entry.Clear();
        BinaryPrimitives.WriteUInt64LittleEndian(entry[NvmeErrorLogEntry.Count..], Count);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[NvmeErrorLogEntry.SubmissionQueueId..], queue);
        BinaryPrimitives.WriteUInt16LittleEndian(entry[NvmeErrorLogEntry.CommandId..], command.CommandId);
        BinaryPrimitives.WriteUInt16LittleEndian(
            entry[NvmeErrorLogEntry.Status..], (ushort)((ushort)status << NvmeCompletion.StatusShift));
        BinaryPrimitives.WriteUInt16LittleEndian(entry[NvmeErrorLogEntry.ParameterLocation..], parameter);
        BinaryPrimitives.WriteUInt64LittleEndian(entry[NvmeErrorLogEntry.Lba..], queue == 0 ? 0 : command.StartingLba);
        BinaryPrimitives.WriteUInt32LittleEndian(entry[NvmeErrorLogEntry.NamespaceId..], command.NamespaceId);
    }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        Count = 0;
        _ring.AsSpan().Clear();
    }

    /// <summary>Part of the log as the host sees it.</summary>
    /// <param name="offset">First byte; beyond the end there are zeroes.</param>
    /// <param name="destination">Receives it.</param>
    public void Read(ulong offset, Span<byte> destination)
    {
        destination.Clear();
        while (destination.Length > 0 && offset < Size)
        {
            ulong age = offset / NvmeErrorLogEntry.Length;
            int skip = (int)(offset % NvmeErrorLogEntry.Length);
            int part = Math.Min(NvmeErrorLogEntry.Length - skip, destination.Length);
            if (age < Count)
            {
                EntryOf(Count - age).Slice(skip, part).CopyTo(destination);
            }

            destination = destination[part..];
            offset += (ulong)part;
        }
    }

    private Span<byte> EntryOf(ulong number) => _ring.AsSpan((int)(number % Entries) * NvmeErrorLogEntry.Length, NvmeErrorLogEntry.Length);
}
