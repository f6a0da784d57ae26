using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Carries admin commands out (NVM Express Base 1.4, section 5), on the strand. Copies from and to the host's memory may wait; afterwards the
/// controller may be in another life, which the result of each method says: false, and nothing may be touched.
/// </summary>
internal sealed class NvmeAdmin
{
    private readonly NvmeController _controller;
    private readonly NvmeQueueCommands _queues;
    private readonly NvmeIdentify _identify;
    private readonly byte[] _data = new byte[NvmeOptions.LongestTransfer];

    internal NvmeAdmin(NvmeController controller, NvmeIdentity identity)
    {
        _controller = controller;
        _queues = new NvmeQueueCommands(controller);
        _identify = new NvmeIdentify(identity, controller.Namespace);
        Features = new NvmeFeatures(identity, controller.Namespace);
        Logs = new NvmeLogPages(identity, controller.Namespace, Features) { Times = controller.Sampler };
    }

    internal NvmeFeatures Features { get; }

    internal NvmeLogPages Logs { get; }

    /// <summary>Deletions that wait for their queue's commands.</summary>
    internal NvmeQueueCommands Queues => _queues;

    /// <summary>The controller was reset.</summary>
    internal void Reset()
    {
        Features.Reset();
        _queues.Reset();
    }

    /// <summary>A command that was kept elsewhere is kept here.</summary>
    /// <returns>False: it is carried out again instead.</returns>
    internal bool TryHoldAgain(NvmeJob job)
    {
        bool isKept = (NvmeAdminOpcode)job.Command.Opcode switch
        {
            NvmeAdminOpcode.AsyncEventRequest => _controller.Events.TryKeep(job),
            NvmeAdminOpcode.DeleteSubmissionQueue => _queues.TryKeep(job),
            _ => false,
        };
        if (isKept)
        {
            NvmeController.Hold(job);
        }

        return isKept;
    }

    /// <summary>Adds features, counters and the log of errors to a table.</summary>
    internal void Declare(DeviceStateTable table)
    {
        NvmeCounters counters = Logs.Counters;
        int values = Unsafe.SizeOf<NvmeFeatureValues>();
        table
            .Bytes("features", values, bytes => MemoryMarshal.Write(bytes, Features.Values), bytes => Features.Values = MemoryMarshal.Read<NvmeFeatureValues>(bytes))
            .Bytes(
                "vectors without coalescing",
                Features.Uncoalesced.Length,
                bytes => MemoryMarshal.AsBytes(Features.Uncoalesced).CopyTo(bytes),
                LoadVectors)
            .Number("number of errors", 8, () => Logs.Errors.Count, value => Logs.Errors.Count = value)
            .Bytes("errors", NvmeErrorLog.Size, bytes => Logs.Errors.Ring.CopyTo(bytes), bytes => bytes.CopyTo(Logs.Errors.Ring))
            .Flag("namespace changed", () => Logs.NamespaceChanged, value => Logs.NamespaceChanged = value)
            .Number("sectors read", 8, () => counters.SectorsRead, value => counters.SectorsRead = value)
            .Number("sectors written", 8, () => counters.SectorsWritten, value => counters.SectorsWritten = value)
            .Number("reads", 8, () => counters.Reads, value => counters.Reads = value)
            .Number("writes", 8, () => counters.Writes, value => counters.Writes = value)
            .Number("flushes", 8, () => counters.Flushes, value => counters.Flushes = value)
            .Number("other commands", 8, () => counters.Others, value => counters.Others = value)
            .Number("media errors", 8, () => counters.MediaErrors, value => counters.MediaErrors = value)
            .Number("unsafe shutdowns", 8, () => counters.UnsafeShutdowns, value => counters.UnsafeShutdowns = value);
    }

    private void LoadVectors(ReadOnlySpan<byte> bytes)
    {
        for (int i = 0; i < bytes.Length; i++)
        {
            Features.Uncoalesced[i] = bytes[i] != 0;
        }
    }

    /// <summary>Carries a command out and completes it, or keeps it.</summary>
    internal bool Execute(NvmeJob job)
    {
        ref readonly NvmeCommand command = ref job.Command;
        return (NvmeAdminOpcode)command.Opcode switch
        {
            NvmeAdminOpcode.DeleteSubmissionQueue => _queues.DeleteSubmission(job),
            NvmeAdminOpcode.CreateSubmissionQueue => _queues.CreateSubmission(job),
            NvmeAdminOpcode.DeleteCompletionQueue => _queues.DeleteCompletion(job),
            NvmeAdminOpcode.CreateCompletionQueue => _queues.CreateCompletion(job),
            NvmeAdminOpcode.GetLogPage => GetLog(job),
            NvmeAdminOpcode.Identify => Identify(job),
            NvmeAdminOpcode.Abort => Abort(job),
            NvmeAdminOpcode.SetFeatures => SetFeatures(job),
            NvmeAdminOpcode.GetFeatures => GetFeatures(job),
            NvmeAdminOpcode.AsyncEventRequest => RequestEvent(job),
            NvmeAdminOpcode.KeepAlive => _controller.Complete(job, NvmeStatus.Success),
            NvmeAdminOpcode.DoorbellBufferConfig when !_controller.Options.Poll => UseDoorbellBuffer(job),
            _ => _controller.Complete(job, NvmeStatus.InvalidOpcode),
        };
    }

    private bool Identify(NvmeJob job)
    {
        Span<byte> page = _data.AsSpan(0, NvmeLimits.IdentifySize);
        NvmeStatus status = _identify.Answer(job.Command, page, _controller.HostUsesPin);
        return status != NvmeStatus.Success ? _controller.Complete(job, status) : Answer(job, page.Length, 0);
    }

    private bool GetLog(NvmeJob job)
    {
        NvmeStatus status = Logs.Check(job.Command, out int length);
        if (status != NvmeStatus.Success)
        {
            return _controller.Complete(job, status);
        }

        Logs.Read(job.Command, _data.AsSpan(0, length));
        (NvmeLogId log, bool retain) = NvmeLogPages.Target(job.Command);
        int epoch = _controller.Epoch;
        NvmeStatus sent = Send(job, length);
        if (epoch != _controller.Epoch)
        {
            return false;
        }

        if (sent == NvmeStatus.Success && !retain)
        {
            UnmaskEvents(log);
        }

        return _controller.Complete(job, sent);
    }

    private void UnmaskEvents(NvmeLogId log)
    {
        switch (log)
        {
            case NvmeLogId.Errors:
                _controller.Events.Unmask(NvmeAsyncEventType.Error);
                break;
            case NvmeLogId.Smart:
                _controller.Events.Unmask(NvmeAsyncEventType.Smart);
                break;
            case NvmeLogId.ChangedNamespaces or NvmeLogId.FirmwareSlots:
                _controller.Events.Unmask(NvmeAsyncEventType.Notice);
                break;
        }
    }

    private bool SetFeatures(NvmeJob job)
    {
        int length = NvmeFeatures.DataLength(job.Command);
        if (length != 0)
        {
            int epoch = _controller.Epoch;
            NvmeStatus received = Receive(job, length);
            if (epoch != _controller.Epoch)
            {
                return false;
            }

            if (received != NvmeStatus.Success)
            {
                return _controller.Complete(job, received);
            }
        }

        NvmeStatus status = Features.Set(job.Command, _data.AsSpan(0, length), _controller.Queues.HasIoQueues, out uint result);
        _controller.FeaturesChanged();
        return _controller.Complete(job, status, result);
    }

    private bool GetFeatures(NvmeJob job)
    {
        int length = NvmeFeatures.DataLength(job.Command);
        NvmeStatus status = Features.Get(job.Command, _data.AsSpan(0, length), out uint result);
        return status != NvmeStatus.Success || length == 0
            ? _controller.Complete(job, status, result)
            : Answer(job, length, result);
    }

    private bool RequestEvent(NvmeJob job)
    {
        if (!_controller.Events.TryKeep(job))
        {
            return _controller.Complete(job, NvmeStatus.EventLimitExceeded);
        }

        NvmeController.Hold(job);
        return true;
    }

    /// <summary>Takes back a command that has not begun: one that waits for a worker, or a request for events. Others go their way.</summary>
    private bool Abort(NvmeJob job)
    {
        ushort queue = (ushort)(job.Command.Cdw10 & NvmeAbortBits.QueueMask);
        ushort id = (ushort)(job.Command.Cdw10 >> NvmeAbortBits.CommandShift);
        int epoch = _controller.Epoch;
        if (queue == 0 && _controller.Queues.Completion(0)!.HasRoom && _controller.Events.TryTake(id, out NvmeJob request))
        {
            NvmeController.TryResume(request);
            return _controller.Complete(request, NvmeStatus.AbortedByRequest) && epoch == _controller.Epoch
                && _controller.Complete(job, NvmeStatus.Success);
        }

        foreach (NvmeJob other in _controller.Jobs.All)
        {
            if (other.State == NvmeJobState.Working && other.Epoch == epoch && other.Queue!.Id == queue && other.Command.CommandId == id
                && _controller.TryTakeBack(other))
            {
                return _controller.Complete(other, NvmeStatus.AbortedByRequest) && epoch == _controller.Epoch
                    && _controller.Complete(job, NvmeStatus.Success);
            }
        }

        return _controller.Complete(job, NvmeStatus.Success, NvmeAbortBits.NotAborted);
    }

    private bool UseDoorbellBuffer(NvmeJob job)
    {
        const ulong OffsetMask = NvmeLimits.PageSize - 1;
        ulong shadow = job.Command.Prp1;
        ulong events = job.Command.Prp2;
        if (((shadow | events) & OffsetMask) != 0 || shadow == events || shadow == 0 || events == 0)
        {
            return _controller.Complete(job, NvmeStatus.InvalidField);
        }

        int epoch = _controller.Epoch;
        Errno errno = _controller.Doorbells.UseShadow(_controller.Memory, shadow, events);
        return epoch == _controller.Epoch
            && _controller.Complete(job, errno == Errno.None ? NvmeStatus.Success : NvmeStatus.DataTransferError);
    }

    /// <summary>Sends the answer that is in the buffer, and completes the command.</summary>
    private bool Answer(NvmeJob job, int length, uint result)
    {
        int epoch = _controller.Epoch;
        NvmeStatus status = Send(job, length);
        return epoch == _controller.Epoch && _controller.Complete(job, status, status == NvmeStatus.Success ? result : 0);
    }

    private NvmeStatus Send(NvmeJob job, int length) => Move(job, length, toHost: true);

    private NvmeStatus Receive(NvmeJob job, int length) => Move(job, length, toHost: false);

    private NvmeStatus Move(NvmeJob job, int length, bool toHost)
    {
        NvmeHostMemory memory = _controller.Memory;
        Errno errno = NvmePrp.Walk(
            memory, job.Command.Prp1, job.Command.Prp2, (uint)length, job.Segments, out int count, out NvmeStatus status);
        if (errno == Errno.None && status != NvmeStatus.Success)
        {
            return status;
        }

        int at = 0;
        for (int i = 0; i < count && errno == Errno.None; i++)
        {
            NvmeSegment segment = job.Segments[i];
            Span<byte> part = _data.AsSpan(at, (int)segment.Length);
            errno = toHost ? memory.Write(segment.Iova, part) : memory.Read(segment.Iova, part);
            at += part.Length;
        }

        return errno == Errno.None ? NvmeStatus.Success : NvmeStatus.DataTransferError;
    }
}
