using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Carries I/O commands out: at once, on the strand, where the blocks are in memory and the host's memory can be borrowed, with one copy;
/// else on workers, with one buffer each.
/// </summary>
internal sealed class NvmeIo(NvmeNamespace media, NvmeWorkers workers, int mostWorkers)
{
    /// <summary>How much the strand sets to zero itself.</summary>
    private const ulong ZeroedAtOnce = 64 << 10;

    private readonly byte[]?[] _buffers = new byte[mostWorkers][];
    private readonly NvmePiece[] _pieces = new NvmePiece[2 * NvmePrp.SegmentsFor(NvmeOptions.LongestTransfer)];

    /// <summary>Whether every write is to be durable at once, because the host has turned the write cache off.</summary>
    internal bool WriteThrough { get; set; }

    /// <summary>Checks a command, and carries it out if that can be done without waiting. On the strand.</summary>
    /// <returns>True: it has a status. False: it is for the workers.</returns>
    internal bool Begin(NvmeSlot slot, DmaPort port)
    {
        slot.Status = media.Plan(slot.Command, (int)NvmeOptions.LongestTransfer, WriteThrough, out NvmeTransfer transfer);
        if (slot.Status != NvmeStatus.Success)
        {
            return true;
        }

        slot.Planned = transfer;
        if (media.Backing.MayBlock)
        {
            return false;
        }

        switch (transfer.Operation)
        {
            case NvmeOperation.Flush:
                slot.Status = media.Execute(transfer, []);
                return true;
            case NvmeOperation.WriteZeroes when transfer.Length <= ZeroedAtOnce:
                return TryAccess(slot, transfer, []);
            case NvmeOperation.Read or NvmeOperation.Write or NvmeOperation.Compare:
                return TryMove(slot, port, transfer);
            default:
                return false;
        }
    }

    /// <summary>The flush of a shutdown could not begin, because the function is stopped. Looked at after <see cref="Flush"/>.</summary>
    internal bool MustFlushAgain { get; private set; }

    /// <summary>Makes everything durable, for a shutdown; nobody is told when that fails. On a worker.</summary>
    internal void Flush()
    {
        MustFlushAgain = !workers.TryEnterBacking();
        if (MustFlushAgain)
        {
            return;
        }

        try
        {
            media.Flush();
        }
        catch (Exception)
        {
            // A defect of the backing must not end the process, and the host cannot be told.
        }
        finally
        {
            workers.LeaveBacking();
        }
    }

    /// <summary>Carries a command out. On a worker.</summary>
    internal void Carry(NvmeSlot slot, DmaPort port, int worker)
    {
        try
        {
            byte[] buffer = _buffers[worker] ??= GC.AllocateUninitializedArray<byte>((int)NvmeOptions.LongestTransfer, pinned: true);
            Carry(slot, port, buffer.AsSpan(0, slot.Planned.DataLength));
        }
        catch (Exception)
        {
            // A defect of the backing is one command's failure.
            slot.Status = NvmeStatus.InternalError;
        }
    }

    private void Carry(NvmeSlot slot, DmaPort port, Span<byte> data)
    {
        NvmeTransfer transfer = slot.Planned;
        int count = 0;
        if (!data.IsEmpty)
        {
            var memory = new NvmeHostMemory(port, slot.Transfer, borrowOnly: false);
            Errno errno = NvmePrp.Walk(
                memory, slot.Command.Prp1, slot.Command.Prp2, (uint)data.Length, slot.Segments, out count, out NvmeStatus status);
            if (errno != Errno.None || status != NvmeStatus.Success)
            {
                End(slot, errno, status);
                return;
            }
        }

        if (transfer.FromHost && Copy(slot, port, count, data) is var notRead and not Errno.None)
        {
            End(slot, notRead, NvmeStatus.Success);
            return;
        }

        if (!workers.TryEnterBacking())
        {
            slot.MustRetry = true;
            return;
        }

        try
        {
            // Looked at inside: whoever stops the function waits for those who are inside, and may put another state there then.
            slot.MustRetry = slot.Transfer.IsCanceled;
            if (slot.MustRetry)
            {
                return;
            }

            slot.Status = media.Execute(transfer, data);
        }
        finally
        {
            workers.LeaveBacking();
        }

        if (transfer.ToHost && slot.Status == NvmeStatus.Success && Copy(slot, port, count, data) is var notWritten and not Errno.None)
        {
            End(slot, notWritten, NvmeStatus.Success);
        }
    }

    /// <summary>Copies between a worker's buffer and the host's memory, in the direction of the command.</summary>
    private static Errno Copy(NvmeSlot slot, DmaPort port, int segments, Span<byte> data)
    {
        int at = 0;
        for (int i = 0; i < segments; i++)
        {
            NvmeSegment segment = slot.Segments[i];
            Span<byte> part = data.Slice(at, (int)segment.Length);
            Errno errno = slot.Planned.FromHost ? port.Read(segment.Iova, part, slot.Transfer) : port.Write(segment.Iova, part, slot.Transfer);
            if (errno != Errno.None)
            {
                return errno;
            }

            at += part.Length;
        }

        return Errno.None;
    }

    private static void End(NvmeSlot slot, Errno errno, NvmeStatus status)
    {
        slot.MustRetry = errno == Errno.EBUSY;
        slot.Status = errno == Errno.None ? status : NvmeStatus.DataTransferError;
    }

    /// <summary>Moves data between the blocks and borrowed memory: all of it or, where some cannot be borrowed, nothing.</summary>
    private bool TryMove(NvmeSlot slot, DmaPort port, in NvmeTransfer transfer)
    {
        var memory = new NvmeHostMemory(port, slot.Transfer, borrowOnly: true);
        Errno errno = NvmePrp.Walk(
            memory, slot.Command.Prp1, slot.Command.Prp2, (uint)transfer.DataLength, slot.Segments, out int count, out NvmeStatus status);
        if (errno != Errno.None)
        {
            return false;
        }

        if (status != NvmeStatus.Success)
        {
            slot.Status = status;
            return true;
        }

        using DmaScope scope = port.Enter();
        int pieces = Borrow(scope, slot.Segments.AsSpan(0, count), transfer.ToHost ? DmaAccess.Write : DmaAccess.Read);
        if (pieces == 0)
        {
            return false;
        }

        return TryAccess(slot, transfer, _pieces.AsSpan(0, pieces));
    }

    /// <summary>Accesses the blocks of a command, unless a worker is at some of them: the strand does not wait for it.</summary>
    private bool TryAccess(NvmeSlot slot, in NvmeTransfer transfer, ReadOnlySpan<NvmePiece> pieces)
    {
        if (!media.TryBegin(transfer, out int place))
        {
            return false;
        }

        NvmeStatus status;
        try
        {
            status = transfer.Operation == NvmeOperation.WriteZeroes ? media.Zero(transfer) : Move(transfer, pieces);
        }
        finally
        {
            media.End(place);
        }

        slot.Status = status == NvmeStatus.Success && !transfer.ToHost ? media.Finish(transfer) : status;
        return true;
    }

    private NvmeStatus Move(in NvmeTransfer transfer, ReadOnlySpan<NvmePiece> pieces)
    {
        NvmeStatus status = NvmeStatus.Success;
        int at = 0;
        for (int i = 0; i < pieces.Length && status == NvmeStatus.Success; i++)
        {
            Span<byte> piece = pieces[i].Span;
            status = transfer.Operation switch
            {
                NvmeOperation.Read => media.Read(transfer, at, piece),
                NvmeOperation.Write => media.Write(transfer, at, piece),
                _ => media.Compare(transfer, at, piece),
            };
            at += piece.Length;
        }

        return status;
    }

    /// <summary>Borrows segments, each of which may lie in several mappings.</summary>
    /// <returns>How many pieces; 0 when not everything can be borrowed.</returns>
    private unsafe int Borrow(in DmaScope scope, ReadOnlySpan<NvmeSegment> segments, DmaAccess access)
    {
        int pieces = 0;
        foreach (NvmeSegment segment in segments)
        {
            uint done = 0;
            while (done < segment.Length)
            {
                if (pieces == _pieces.Length || !scope.TryBorrow(segment.Iova + done, segment.Length - done, access, out DmaRun run))
                {
                    return 0;
                }

                _pieces[pieces++] = new NvmePiece((nint)run.Pointer, (int)run.Length);
                done += (uint)run.Length;
            }
        }

        return pieces;
    }
}
