using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>Completions: written, counted, and recorded when they tell of an error.</content>
internal sealed partial class NvmeController
{
    // The entry that is being written by message, so that it can be written once more where the controller goes on.
    private bool _isWriting;
    private ulong _writingAddress;
    private NvmeCompletion _writing;

    /// <summary>
    /// Writes a completion; the job is free afterwards. All that is remembered changes first: once written the host may have seen it,
    /// whatever happens here.
    /// </summary>
    /// <returns>Whether it is still the same life.</returns>
    private unsafe bool Write(NvmeJob job)
    {
        NvmeSubmissionQueue queue = job.Queue!;
        NvmeCompletionQueue completions = queue.Completions;
        NvmeStatus status = NvmeRetry.Mark(job.Status);
        var entry = new NvmeCompletion
        {
            Result = job.Result,
            SubmissionHead = (ushort)queue.Head,
            SubmissionQueueId = queue.Id,
            CommandId = job.Command.CommandId,
            StatusAndPhase = (ushort)(((uint)status << NvmeCompletion.StatusShift) | (completions.Phase ? (uint)NvmeCompletion.Phase : 0)),
        };
        uint index = completions.Tail;
        ulong address = completions.Address + ((ulong)index << NvmeCompletion.LengthShift);
        completions.Tail++;
        if (completions.Tail == completions.Entries)
        {
            completions.Tail = 0;
            completions.Phase = !completions.Phase;
        }

        if (!job.IsAdmin)
        {
            Logs.Counters.Count(job.Planned, job.Status);
        }

        completions.Reserved--;
        completions.WantsInterrupt = true;
        queue.Outstanding--;
        Jobs.Return(job);
        using (DmaScope scope = Dma.Enter())
        {
            if (scope.TryBorrow(address, NvmeCompletion.Length, DmaAccess.Write, out DmaRun run) && run.Length == NvmeCompletion.Length)
            {
                // SAFETY: 16 bytes, 8-byte aligned as the queue is. The half with the phase last, as one store.
                var halves = (ulong*)run.Pointer;
                completions.ResultWritten(index, entry.Result);
                halves[0] = Unsafe.As<NvmeCompletion, ulong>(ref entry);
                Volatile.Write(ref halves[1], Unsafe.Add(ref Unsafe.As<NvmeCompletion, ulong>(ref entry), 1));
                return true;
            }
        }

        return WriteByCopy(address, entry, both: completions.MustWriteResult(index, entry.Result));
    }

    /// <summary>
    /// Writes an entry where memory cannot be borrowed, the half with the phase last. The other half is left out where it is zero already: that
    /// may save a message.
    /// </summary>
    private bool WriteByCopy(ulong address, NvmeCompletion entry, bool both)
    {
        const int Half = NvmeCompletion.Length / 2;
        int epoch = Epoch;
        _isWriting = true;
        _writingAddress = address;
        _writing = entry;
        Span<byte> bytes = stackalloc byte[NvmeCompletion.Length];
        MemoryMarshal.Write(bytes, entry);
        Errno errno = both ? Dma.Write(address, bytes[..Half], Transfer) : Errno.None;
        if (errno == Errno.None)
        {
            errno = Dma.Write(address + Half, bytes[Half..], Transfer);
        }

        if (epoch != Epoch)
        {
            return false;
        }

        _isWriting = false;
        if (errno != Errno.None)
        {
            Fail(errno);
            return false;
        }

        return true;
    }

    private void RecordError(NvmeJob job)
    {
        if (job.Status is not (NvmeStatus.AbortedByRequest or NvmeStatus.CompareFailure))
        {
            _admin.Logs.Errors.Add(job.Queue!.Id, job.Command, NvmeRetry.Mark(job.Status));
        }
    }
}
