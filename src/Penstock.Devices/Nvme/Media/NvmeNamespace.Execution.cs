using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <content>What is done to the blocks. The ranges come from <see cref="Plan"/>, so they are inside the namespace.</content>
internal sealed partial class NvmeNamespace
{
    private const int ComparePart = 4096;

    /// <summary>Reads a piece.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="at">Where the piece begins in the command's data, in bytes.</param>
    /// <param name="destination">Receives it.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Read(in NvmeTransfer transfer, int at, Span<byte> destination) =>
        IsInside(transfer, at, destination.Length)
            ? StatusOf(Backing.Read(transfer.Offset + (ulong)at, destination), NvmeStatus.UnrecoveredReadError)
            : NvmeStatus.InternalError;

    /// <summary>Writes a piece; as <see cref="Read"/>.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="at">Where the piece begins in the command's data, in bytes.</param>
    /// <param name="source">The piece.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Write(in NvmeTransfer transfer, int at, ReadOnlySpan<byte> source) =>
        IsInside(transfer, at, source.Length)
            ? StatusOf(Backing.Write(transfer.Offset + (ulong)at, source), NvmeStatus.WriteFault)
            : NvmeStatus.InternalError;

    /// <summary>Compares a piece; as <see cref="Read"/>.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="at">Where the piece begins in the command's data, in bytes.</param>
    /// <param name="source">The piece.</param>
    /// <returns>Success, compare failure, or another status.</returns>
    public NvmeStatus Compare(in NvmeTransfer transfer, int at, ReadOnlySpan<byte> source)
    {
        if (!IsInside(transfer, at, source.Length))
        {
            return NvmeStatus.InternalError;
        }

        Span<byte> part = stackalloc byte[ComparePart];
        for (int done = 0; done < source.Length;)
        {
            Span<byte> now = part[..Math.Min(ComparePart, source.Length - done)];
            Errno error = Backing.Read(transfer.Offset + (ulong)(at + done), now);
            if (error != Errno.None)
            {
                return StatusOf(error, NvmeStatus.UnrecoveredReadError);
            }

            if (!now.SequenceEqual(source.Slice(done, now.Length)))
            {
                return NvmeStatus.CompareFailure;
            }

            done += now.Length;
        }

        return NvmeStatus.Success;
    }

    /// <summary>Dataset management: checks all ranges, then deallocates them if the command says so.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="ranges">All ranges, in a private copy.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Deallocate(in NvmeTransfer transfer, ReadOnlySpan<byte> ranges)
    {
        ReadOnlySpan<NvmeDatasetRange> list = MemoryMarshal.Cast<byte, NvmeDatasetRange>(ranges[..transfer.DataLength]);
        foreach (ref readonly NvmeDatasetRange range in list)
        {
            if (range.Blocks != 0 && !Contains(range.StartingLba, range.Blocks))
            {
                return NvmeStatus.LbaOutOfRange;
            }
        }

        // Where room cannot be given back the blocks stay as they are, which the namespace's identify data says.
        if (!transfer.Deallocate || !Backing.CanDeallocate)
        {
            return NvmeStatus.Success;
        }

        foreach (ref readonly NvmeDatasetRange range in list)
        {
            Errno error = range.Blocks == 0 ? Errno.None : Deallocate(range.StartingLba << BlockShift, (ulong)range.Blocks << BlockShift);
            if (error != Errno.None)
            {
                return StatusOf(error, NvmeStatus.WriteFault);
            }
        }

        return NvmeStatus.Success;
    }

    /// <summary>Zeroes, for a command that has no data. Between <see cref="TryBegin"/> and <see cref="End"/>.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Zero(in NvmeTransfer transfer) =>
        StatusOf(Backing.Zero(transfer.Offset, transfer.Length, transfer.Deallocate), NvmeStatus.WriteFault);

    /// <summary>Durability, where the command promises it, of what a read has found as well. Call it when all pieces succeeded.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Finish(in NvmeTransfer transfer) =>
        transfer.Durable || transfer.Operation == NvmeOperation.Flush
            ? StatusOf(Flush(), NvmeStatus.WriteFault)
            : NvmeStatus.Success;

    /// <summary>Makes durable whatever was written before; as the backing's, with what is known of flushes that failed elsewhere.</summary>
    /// <returns>None, or the error.</returns>
    public Errno Flush()
    {
        Errno error = Backing.Flush();

        // A backing that is not in use has lost nothing.
        if (error is not (Errno.None or Errno.EBUSY))
        {
            Interlocked.CompareExchange(ref _flushFailure, (int)error, 0);
        }

        return FlushFailure is var before and not Errno.None ? before : error;
    }

    /// <summary>
    /// Begins to access the blocks of a command that has a range of them, if no other is in the way: so others find each block as it was
    /// before or after. Nothing but accesses to the backing may follow until <see cref="End"/>.
    /// </summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="place">For <see cref="End"/>.</param>
    /// <returns>False: another command is at some of these blocks; <see cref="Execute"/> waits for it.</returns>
    public bool TryBegin(in NvmeTransfer transfer, out int place) =>
        Ranges.TryEnter(transfer.Offset, transfer.Offset + transfer.Length - 1, transfer.Writes, out place);

    /// <summary>Ends what <see cref="TryBegin"/> began.</summary>
    public void End(int place) => Ranges.Leave(place);

    /// <summary>A whole command, with its data in one piece. Waits for other commands that are at the same blocks.</summary>
    /// <param name="transfer">The planned command.</param>
    /// <param name="data">As many bytes as the command has; receives those of a read.</param>
    /// <returns>Success, or the status of the command.</returns>
    public NvmeStatus Execute(in NvmeTransfer transfer, Span<byte> data)
    {
        NvmeStatus status = transfer.Operation switch
        {
            NvmeOperation.Flush => NvmeStatus.Success,
            NvmeOperation.DatasetManagement => Deallocate(transfer, data),
            _ => Access(transfer, data),
        };
        return status == NvmeStatus.Success ? Finish(transfer) : status;
    }

    private NvmeStatus Access(in NvmeTransfer transfer, Span<byte> data)
    {
        int place = Ranges.Enter(transfer.Offset, transfer.Offset + transfer.Length - 1, transfer.Writes);
        try
        {
            return transfer.Operation switch
            {
                NvmeOperation.Read => Read(transfer, 0, data),
                NvmeOperation.Write => Write(transfer, 0, data),
                NvmeOperation.Compare => Compare(transfer, 0, data),
                _ => Zero(transfer),
            };
        }
        finally
        {
            Ranges.Leave(place);
        }
    }

    private Errno Deallocate(ulong offset, ulong length)
    {
        int place = Ranges.Enter(offset, offset + length - 1, writes: true);
        try
        {
            return Backing.Zero(offset, length, deallocate: true);
        }
        finally
        {
            Ranges.Leave(place);
        }
    }

    /// <summary>What an error of the backing is to the host.</summary>
    private static NvmeStatus StatusOf(Errno error, NvmeStatus fault) => error switch
    {
        Errno.None => NvmeStatus.Success,
        Errno.ENOSPC => NvmeStatus.CapacityExceeded,
        Errno.EROFS => NvmeStatus.NamespaceWriteProtected,
        Errno.EBUSY => NvmeStatus.NamespaceNotReady,
        _ => fault,
    };

    /// <summary>A piece that is not inside the command would be a defect of the caller, never of the host.</summary>
    private static bool IsInside(in NvmeTransfer transfer, int at, int length) =>
        at >= 0 && (ulong)at <= transfer.Length && (ulong)length <= transfer.Length - (ulong)at;
}
