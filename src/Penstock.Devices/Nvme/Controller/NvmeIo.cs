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
    internal bool Begin(NvmeJob job, DmaPort port)
    {
        job.Status = media.Plan(job.Command, (int)NvmeOptions.LongestTransfer, WriteThrough, out NvmeTransfer transfer);
        if (job.Status != NvmeStatus.Success)
        {
            return true;
        }

        job.Planned = transfer;
        if (media.Backing.MayBlock)
        {
            return false;
        }

        switch (transfer.Operation)
        {
            case NvmeOperation.Flush:
                job.Status = media.Execute(transfer, []);
                return true;
            case NvmeOperation.WriteZeroes when transfer.Length <= ZeroedAtOnce:
                return TryAccess(job, transfer, []);
            case NvmeOperation.Read or NvmeOperation.Write or NvmeOperation.Compare:
                return TryMove(job, port, transfer);
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
    internal void Carry(NvmeJob job, DmaPort port, int worker)
    {
        try
        {
            byte[] buffer = _buffers[worker] ??= GC.AllocateUninitializedArray<byte>((int)NvmeOptions.LongestTransfer, pinned: true);
            Carry(job, port, buffer.AsSpan(0, job.Planned.DataLength));
        }
        catch (Exception)
        {
            // A defect of the backing is one command's failure.
            job.Status = NvmeStatus.InternalError;
        }
    }

    private void Carry(NvmeJob job, DmaPort port, Span<byte> data)
    {
        NvmeTransfer transfer = job.Planned;
        int count = 0;
        if (!data.IsEmpty)
        {
            var memory = new NvmeHostMemory(port, job.Transfer, borrowOnly: false);
            Errno errno = NvmePrp.Walk(
                memory, job.Command.Prp1, job.Command.Prp2, (uint)data.Length, job.Segments, out count, out NvmeStatus status);
            if (errno != Errno.None || status != NvmeStatus.Success)
            {
                End(job, errno, status);
                return;
            }
        }

        if (transfer.FromHost && Copy(job, port, count, data) is var notRead and not Errno.None)
        {
            End(job, notRead, NvmeStatus.Success);
            return;
        }

        if (!workers.TryEnterBacking())
        {
            job.MustRetry = true;
            return;
        }

        try
        {
            // Looked at inside: whoever stops the function waits for those who are inside, and may put another state there then.
            job.MustRetry = job.Transfer.IsCanceled;
            if (job.MustRetry)
            {
                return;
            }

            job.Status = media.Execute(transfer, data);
        }
        finally
        {
            workers.LeaveBacking();
        }

        if (transfer.ToHost && job.Status == NvmeStatus.Success && Copy(job, port, count, data) is var notWritten and not Errno.None)
        {
            End(job, notWritten, NvmeStatus.Success);
        }
    }

    /// <summary>Copies between a worker's buffer and the host's memory, in the direction of the command.</summary>
    private static Errno Copy(NvmeJob job, DmaPort port, int segments, Span<byte> data)
    {
        int at = 0;
        for (int i = 0; i < segments; i++)
        {
            NvmeSegment segment = job.Segments[i];
            Span<byte> part = data.Slice(at, (int)segment.Length);
            Errno errno = job.Planned.FromHost ? port.Read(segment.Iova, part, job.Transfer) : port.Write(segment.Iova, part, job.Transfer);
            if (errno != Errno.None)
            {
                return errno;
            }

            at += part.Length;
        }

        return Errno.None;
    }

    private static void End(NvmeJob job, Errno errno, NvmeStatus status)
    {
        job.MustRetry = errno == Errno.EBUSY;
        job.Status = errno == Errno.None ? status : NvmeStatus.DataTransferError;
    }

    /// <summary>Moves data between the blocks and borrowed memory: all of it or, where some cannot be borrowed, nothing.</summary>
    private bool TryMove(NvmeJob job, DmaPort port, in NvmeTransfer transfer)
    {
        var memory = new NvmeHostMemory(port, job.Transfer, borrowOnly: true);
        Errno errno = NvmePrp.Walk(
            memory, job.Command.Prp1, job.Command.Prp2, (uint)transfer.DataLength, job.Segments, out int count, out NvmeStatus status);
        if (errno != Errno.None)
        {
            return false;
        }

        if (status != NvmeStatus.Success)
        {
            job.Status = status;
            return true;
        }

        using DmaScope scope = port.Enter();
        int pieces = Borrow(scope, job.Segments.AsSpan(0, count), transfer.ToHost ? DmaAccess.Write : DmaAccess.Read);
        if (pieces == 0)
        {
            return false;
        }

        return TryAccess(job, transfer, _pieces.AsSpan(0, pieces));
    }

    /// <summary>Accesses the blocks of a command, unless a worker is at some of them: the strand does not wait for it.</summary>
    private bool TryAccess(NvmeJob job, in NvmeTransfer transfer, ReadOnlySpan<NvmePiece> pieces)
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

        job.Status = status == NvmeStatus.Success && !transfer.ToHost ? media.Finish(transfer) : status;
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
