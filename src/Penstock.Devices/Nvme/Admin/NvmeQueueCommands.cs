using Penstock.Interop;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>
/// Creation and deletion of I/O queues (NVM Express Base 1.4, sections 5.3 to 5.6), with the checks in the order that conformance suites
/// expect. As for all admin commands the results say whether it is still the same life of the controller.
/// </summary>
internal sealed class NvmeQueueCommands(NvmeController controller)
{
    private const ulong OffsetMask = NvmeLimits.PageSize - 1;

    private int _deletions;

    internal void Reset() => _deletions = 0;

    internal bool CreateCompletion(NvmeJob job)
    {
        int epoch = controller.Epoch;
        ref readonly NvmeCommand command = ref job.Command;
        uint id = command.Cdw10 & NvmeQueueBits.IdMask;
        uint entries = (command.Cdw10 >> NvmeQueueBits.SizeShift) + 1;
        uint vector = command.Cdw11 >> NvmeQueueBits.VectorShift;
        NvmeStatus status = CheckId(id, controller.Queues.Completion((int)id) is not null);
        status = status != NvmeStatus.Success ? status : CheckSize(entries);
        status = status != NvmeStatus.Success ? status
            : vector > controller.Options.IoQueues ? NvmeStatus.InvalidInterruptVector
            : CheckPlace(command, entries << NvmeCompletion.LengthShift);
        if (epoch != controller.Epoch)
        {
            return false;
        }

        if (status != NvmeStatus.Success)
        {
            return controller.Complete(job, status);
        }

        Errno errno = controller.Doorbells.Clear(controller.Memory, (int)id, isCompletion: true);
        if (epoch != controller.Epoch)
        {
            return false;
        }

        if (errno != Errno.None)
        {
            return controller.Complete(job, NvmeStatus.DataTransferError);
        }

        controller.Queues.Add(new NvmeCompletionQueue(
            (ushort)id, command.Prp1, entries, (ushort)vector, (command.Cdw11 & NvmeQueueBits.InterruptsEnabled) != 0));
        return controller.Complete(job, NvmeStatus.Success);
    }

    internal bool CreateSubmission(NvmeJob job)
    {
        int epoch = controller.Epoch;
        ref readonly NvmeCommand command = ref job.Command;
        uint id = command.Cdw10 & NvmeQueueBits.IdMask;
        uint entries = (command.Cdw10 >> NvmeQueueBits.SizeShift) + 1;
        uint completions = command.Cdw11 >> NvmeQueueBits.CompletionQueueShift;
        NvmeStatus status = CheckId(id, controller.Queues.Submission((int)id) is not null);
        status = status != NvmeStatus.Success ? status : CheckSize(entries);
        status = status != NvmeStatus.Success ? status
            : completions == 0 || completions > controller.Options.IoQueues ? NvmeStatus.InvalidQueueId
            : controller.Queues.Completion((int)completions) is null ? NvmeStatus.InvalidCompletionQueue
            : CheckPlace(command, entries << NvmeCommand.LengthShift);
        if (epoch != controller.Epoch)
        {
            return false;
        }

        if (status != NvmeStatus.Success)
        {
            return controller.Complete(job, status);
        }

        Errno errno = controller.Doorbells.Clear(controller.Memory, (int)id, isCompletion: false);
        if (epoch != controller.Epoch)
        {
            return false;
        }

        if (errno != Errno.None)
        {
            return controller.Complete(job, NvmeStatus.DataTransferError);
        }

        controller.Queues.Add(new NvmeSubmissionQueue(
            (ushort)id, command.Prp1, entries, controller.Queues.Completion((int)completions)!));
        return controller.Complete(job, NvmeStatus.Success);
    }

    internal bool DeleteCompletion(NvmeJob job)
    {
        uint id = job.Command.Cdw10 & NvmeQueueBits.IdMask;
        NvmeCompletionQueue? queue = id == 0 ? null : controller.Queues.Completion((int)id);
        if (queue is null)
        {
            return controller.Complete(job, NvmeStatus.InvalidQueueId);
        }

        if (queue.Users != 0)
        {
            return controller.Complete(job, NvmeStatus.InvalidQueueDeletion);
        }

        controller.Queues.Remove(queue);
        return controller.Complete(job, NvmeStatus.Success);
    }

    /// <summary>Nothing more is taken off the queue; the command completes when what was taken has.</summary>
    internal bool DeleteSubmission(NvmeJob job)
    {
        uint id = job.Command.Cdw10 & NvmeQueueBits.IdMask;
        NvmeSubmissionQueue? queue = id == 0 ? null : controller.Queues.Submission((int)id);
        if (queue is null || queue.IsDeleting)
        {
            return controller.Complete(job, NvmeStatus.InvalidQueueId);
        }

        if (queue.Outstanding != 0)
        {
            TryKeep(job);
            NvmeController.Hold(job);
            return true;
        }

        controller.Queues.Remove(queue);
        return controller.Complete(job, NvmeStatus.Success);
    }

    /// <summary>Keeps a deletion until its queue has nothing outstanding.</summary>
    internal bool TryKeep(NvmeJob job)
    {
        uint id = job.Command.Cdw10 & NvmeQueueBits.IdMask;
        if (id == 0 || controller.Queues.Submission((int)id) is not { IsDeleting: false } queue)
        {
            return false;
        }

        queue.IsDeleting = true;
        _deletions++;
        return true;
    }

    /// <summary>Completes deletions whose queue has nothing outstanding any more.</summary>
    internal bool Continue(int epoch, ref bool progress)
    {
        if (_deletions == 0)
        {
            return true;
        }

        foreach (NvmeJob job in controller.Jobs.All)
        {
            if (job.State != NvmeJobState.Held || (NvmeAdminOpcode)job.Command.Opcode != NvmeAdminOpcode.DeleteSubmissionQueue || !job.IsAdmin)
            {
                continue;
            }

            var queue = controller.Queues.Submission((int)(job.Command.Cdw10 & NvmeQueueBits.IdMask))!;
            if (queue.Outstanding != 0 || !NvmeController.TryResume(job))
            {
                continue;
            }

            _deletions--;
            controller.Queues.Remove(queue);
            progress = true;
            if (!controller.Complete(job, NvmeStatus.Success) || epoch != controller.Epoch)
            {
                return false;
            }
        }

        return true;
    }

    private NvmeStatus CheckId(uint id, bool exists) =>
        id == 0 || id > controller.Options.IoQueues || exists ? NvmeStatus.InvalidQueueId : NvmeStatus.Success;

    private NvmeStatus CheckSize(uint entries) =>
        entries < NvmeLimits.MinimumQueueEntries || entries > controller.Options.QueueEntries ? NvmeStatus.InvalidQueueSize : NvmeStatus.Success;

    private NvmeStatus CheckPlace(in NvmeCommand command, uint length) =>
        (command.Cdw11 & NvmeQueueBits.Contiguous) == 0 ? NvmeStatus.InvalidField
        : (command.Prp1 & OffsetMask) != 0 ? NvmeStatus.InvalidPrpOffset
        : controller.IsMapped(command.Prp1, (int)length) ? NvmeStatus.Success
        : NvmeStatus.DataTransferError;
}
