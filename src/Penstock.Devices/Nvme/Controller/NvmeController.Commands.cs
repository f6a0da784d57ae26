using System.Diagnostics;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>Commands: taken from their queue, given to whoever carries them out, completed.</content>
internal sealed partial class NvmeController
{
    private const int Batch = 16;

    private int FlushJob => Options.Commands;

    private readonly NvmeCommand[] _batch = new NvmeCommand[Batch];
    private readonly int[] _finished;
    private int _finishedFirst;
    private int _finishedCount;
    private int _withWorkers;
    private bool _mustRedo;

    /// <summary>Completes a command with a status. On the strand.</summary>
    /// <returns>Whether it is still the same life.</returns>
    internal bool Complete(NvmeJob job, NvmeStatus status, uint result = 0)
    {
        job.Status = status;
        job.Result = result;
        if (status != NvmeStatus.Success)
        {
            RecordError(job);
        }

        return Write(job);
    }

    /// <summary>Keeps a command until something happens; its place in the completion queue is not promised any more.</summary>
    internal static void Hold(NvmeJob job)
    {
        job.State = NvmeJobState.Held;
        job.Queue!.Completions.Reserved--;
        job.Queue.Outstanding--;
    }

    /// <summary>Promises a kept command its place again.</summary>
    /// <returns>False when there is none.</returns>
    internal static bool TryResume(NvmeJob job)
    {
        if (!job.Queue!.Completions.HasRoom)
        {
            job.Queue.Completions.IsBlocking = true;
            return false;
        }

        job.State = NvmeJobState.Taken;
        job.Queue.Completions.Reserved++;
        job.Queue.Outstanding++;
        return true;
    }

    /// <summary>Gives a command to the workers.</summary>
    internal void GiveToWorkers(NvmeJob job)
    {
        job.State = NvmeJobState.Working;
        job.MustRetry = false;
        _withWorkers++;
        _workers.Enqueue(job.Index);
    }

    /// <summary>Takes a command back that no worker has begun.</summary>
    internal bool TryTakeBack(NvmeJob job)
    {
        if (!_workers.TryTakeBack(job.Index))
        {
            return false;
        }

        _withWorkers--;
        job.State = NvmeJobState.Taken;
        return true;
    }

    /// <summary>Takes commands off one queue, no more than can be completed.</summary>
    /// <returns>Whether it is still the same life.</returns>
    private bool Serve(NvmeSubmissionQueue queue, int epoch, ref int budget, ref bool progress)
    {
        int count = Math.Min(Math.Min((int)queue.Waiting, (int)(queue.Entries - queue.Head)), Math.Min(Batch, budget));
        count = Math.Min(count, Jobs.Free);
        if (count == 0 || queue.IsDeleting)
        {
            return true;
        }

        if (!queue.Completions.HasRoom)
        {
            queue.Completions.IsBlocking = true;
            return true;
        }

        Errno errno = Fetch(queue, count);
        if (epoch != Epoch)
        {
            return false;
        }

        if (errno != Errno.None)
        {
            Fail(errno);
            return false;
        }

        _sample?.Mark(NvmePhase.Fetch);
        for (int i = 0; i < count; i++)
        {
            if (!queue.Completions.HasRoom)
            {
                queue.Completions.IsBlocking = true;
                return true;
            }

            NvmeJob job = Jobs.Take(queue, _batch[i], epoch);
            job.Transfer = Transfer;
            queue.Head = queue.Head + 1 == queue.Entries ? 0 : queue.Head + 1;
            queue.Completions.Reserved++;
            queue.Outstanding++;
            budget--;
            progress = true;
            _sample?.Busy(job.IsAdmin ? 0 : 1);
            if (!Dispatch(job) || epoch != Epoch)
            {
                return false;
            }

            // The command may have been one that takes the queue away, or all jobs.
            if (queue.IsDeleting || Jobs.Free == 0)
            {
                return true;
            }
        }

        return true;
    }

    /// <summary>Copies commands out of a queue, once: the host's may change.</summary>
    private unsafe Errno Fetch(NvmeSubmissionQueue queue, int count)
    {
        ulong address = queue.Address + ((ulong)queue.Head << NvmeCommand.LengthShift);
        Span<byte> batch = MemoryMarshal.AsBytes(_batch.AsSpan(0, count));
        using (DmaScope scope = Dma.Enter())
        {
            if (scope.TryBorrow(address, (ulong)batch.Length, DmaAccess.Read, out DmaRun run) && run.Length == (ulong)batch.Length)
            {
                run.Span.CopyTo(batch);
                return Errno.None;
            }
        }

        return Dma.Read(address, batch, Transfer);
    }

    private bool Dispatch(NvmeJob job)
    {
        // Requests for events that are kept are not among the outstanding.
        NvmeStatus refused = (job.Queue!.Outstanding > 1 || job.IsAdmin) && HasTwin(job) ? NvmeStatus.CommandIdConflict
            : (job.Command.Flags & (NvmeCommandFlags.FuseMask | NvmeCommandFlags.PointerMask)) != 0 ? NvmeStatus.InvalidField
            : NvmeStatus.Success;
        if (refused != NvmeStatus.Success)
        {
            return Complete(job, refused);
        }

        if (job.IsAdmin)
        {
            return _admin.Execute(job);
        }

        _sample?.Mark(NvmePhase.Fetch);
        bool isDone = _io.Begin(job, Dma);
        if (!isDone)
        {
            GiveToWorkers(job);
        }

        _sample?.Mark(NvmePhase.Data);
        bool same = !isDone || Complete(job, job.Status);
        _sample?.Mark(NvmePhase.Complete);
        return same;
    }

    private bool HasTwin(NvmeJob job)
    {
        foreach (NvmeJob other in Jobs.All)
        {
            if (other != job && other.State != NvmeJobState.Free && other.Queue == job.Queue && other.Command.CommandId == job.Command.CommandId)
            {
                return true;
            }
        }

        return false;
    }

    private void RunOnWorker(int index, int worker)
    {
        if (index == FlushJob)
        {
            _io.Flush();
        }
        else
        {
            long start = Sampler is null ? 0 : Stopwatch.GetTimestamp();
            _io.Carry(Jobs[index], Dma, worker);
            Sampler?.Worked(Stopwatch.GetTimestamp() - start);
        }
    }

    /// <summary>What the workers have finished is the strand's again. What is of an earlier life is forgotten.</summary>
    private void CollectFinished()
    {
        while (_workers.TryTakeDone(out int index))
        {
            _withWorkers--;
            if (index == FlushJob)
            {
                FlushEnded();
                continue;
            }

            NvmeJob job = Jobs[index];
            if (job.Epoch != Epoch)
            {
                Jobs.Return(job);
            }
            else if (job.MustRetry)
            {
                job.State = NvmeJobState.Taken;
                _mustRedo = true;
            }
            else
            {
                job.State = NvmeJobState.Finished;
                _finished[(_finishedFirst + _finishedCount++) % _finished.Length] = index;
            }
        }

        if (IsQuiet)
        {
            Drained();
        }
    }

    /// <summary>Writes the completions of what the workers have finished.</summary>
    private bool CompleteFinished(int epoch, ref bool progress)
    {
        CollectFinished();
        while (_finishedCount != 0)
        {
            NvmeJob job = Jobs[_finished[_finishedFirst]];
            _finishedFirst = (_finishedFirst + 1) % _finished.Length;
            _finishedCount--;
            progress = true;
            if (job.Status != NvmeStatus.Success)
            {
                RecordError(job);
            }

            if (!Write(job) || epoch != Epoch)
            {
                return false;
            }

            _sample?.Busy(0);
            _sample?.Mark(NvmePhase.Complete);
        }

        return _admin.Queues.Continue(epoch, ref progress);
    }

    private bool TellEvents(int epoch, ref bool progress)
    {
        while (Events.CanTell && Queues.Completion(0) is { HasRoom: true } && Events.TryTell(out NvmeJob request, out uint result))
        {
            TryResume(request);
            progress = true;
            if (!Complete(request, NvmeStatus.Success, result) || epoch != Epoch)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>After the function was stopped or moved: what was taken and not carried out is carried out, what was being written is written.</summary>
    private bool GoOn(int epoch)
    {
        if (_isWriting && !WriteByCopy(_writingAddress, _writing, both: true))
        {
            return false;
        }

        if (!_mustRedo)
        {
            return true;
        }

        _mustRedo = false;
        foreach (NvmeJob job in Jobs.All)
        {
            if (job.State == NvmeJobState.Taken && (!Dispatch(job) || epoch != Epoch))
            {
                return false;
            }
        }

        return true;
    }
}
