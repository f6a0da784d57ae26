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
    internal bool TryHoldAgain(NvmeSlot slot)
    {
        bool isKept = (NvmeAdminOpcode)slot.Command.Opcode switch
        {
            NvmeAdminOpcode.AsyncEventRequest => _controller.Events.TryKeep(slot),
            NvmeAdminOpcode.DeleteSubmissionQueue => _queues.TryKeep(slot),
            _ => false,
        };
        if (isKept)
        {
            NvmeController.Hold(slot);
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
    internal bool Execute(NvmeSlot slot)
    {
        ref readonly NvmeCommand command = ref slot.Command;
        return (NvmeAdminOpcode)command.Opcode switch
        {
            NvmeAdminOpcode.DeleteSubmissionQueue => _queues.DeleteSubmission(slot),
            NvmeAdminOpcode.CreateSubmissionQueue => _queues.CreateSubmission(slot),
            NvmeAdminOpcode.DeleteCompletionQueue => _queues.DeleteCompletion(slot),
            NvmeAdminOpcode.CreateCompletionQueue => _queues.CreateCompletion(slot),
            NvmeAdminOpcode.GetLogPage => GetLog(slot),
            NvmeAdminOpcode.Identify => Identify(slot),
            NvmeAdminOpcode.Abort => Abort(slot),
            NvmeAdminOpcode.SetFeatures => SetFeatures(slot),
            NvmeAdminOpcode.GetFeatures => GetFeatures(slot),
            NvmeAdminOpcode.AsyncEventRequest => RequestEvent(slot),
            NvmeAdminOpcode.KeepAlive => _controller.Complete(slot, NvmeStatus.Success),
            NvmeAdminOpcode.DoorbellBufferConfig when !_controller.Options.Poll => UseDoorbellBuffer(slot),
            _ => _controller.Complete(slot, NvmeStatus.InvalidOpcode),
        };
    }

    private bool Identify(NvmeSlot slot)
    {
        Span<byte> page = _data.AsSpan(0, NvmeLimits.IdentifySize);
        NvmeStatus status = _identify.Answer(slot.Command, page, _controller.HostUsesPin);
        return status != NvmeStatus.Success ? _controller.Complete(slot, status) : Answer(slot, page.Length, 0);
    }

    private bool GetLog(NvmeSlot slot)
    {
        NvmeStatus status = Logs.Check(slot.Command, out int length);
        if (status != NvmeStatus.Success)
        {
            return _controller.Complete(slot, status);
        }

        Logs.Read(slot.Command, _data.AsSpan(0, length));
        (NvmeLogId log, bool retain) = NvmeLogPages.Target(slot.Command);
        int epoch = _controller.Epoch;
        NvmeStatus sent = Send(slot, length);
        if (epoch != _controller.Epoch)
        {
            return false;
        }

        if (sent == NvmeStatus.Success && !retain)
        {
            UnmaskEvents(log);
        }

        return _controller.Complete(slot, sent);
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

    private bool SetFeatures(NvmeSlot slot)
    {
        int length = NvmeFeatures.DataLength(slot.Command);
        if (length != 0)
        {
            int epoch = _controller.Epoch;
            NvmeStatus received = Receive(slot, length);
            if (epoch != _controller.Epoch)
            {
                return false;
            }

            if (received != NvmeStatus.Success)
            {
                return _controller.Complete(slot, received);
            }
        }

        NvmeStatus status = Features.Set(slot.Command, _data.AsSpan(0, length), _controller.Queues.HasIoQueues, out uint result);
        _controller.FeaturesChanged();
        return _controller.Complete(slot, status, result);
    }

    private bool GetFeatures(NvmeSlot slot)
    {
        int length = NvmeFeatures.DataLength(slot.Command);
        NvmeStatus status = Features.Get(slot.Command, _data.AsSpan(0, length), out uint result);
        return status != NvmeStatus.Success || length == 0
            ? _controller.Complete(slot, status, result)
            : Answer(slot, length, result);
    }

    private bool RequestEvent(NvmeSlot slot)
    {
        if (!_controller.Events.TryKeep(slot))
        {
            return _controller.Complete(slot, NvmeStatus.EventLimitExceeded);
        }

        NvmeController.Hold(slot);
        return true;
    }

    /// <summary>Takes back a command that has not begun: one that waits for a worker, or a request for events. Others go their way.</summary>
    private bool Abort(NvmeSlot slot)
    {
        ushort queue = (ushort)(slot.Command.Cdw10 & NvmeAbortBits.QueueMask);
        ushort id = (ushort)(slot.Command.Cdw10 >> NvmeAbortBits.CommandShift);
        int epoch = _controller.Epoch;
        if (queue == 0 && _controller.Queues.Completion(0)!.HasRoom && _controller.Events.TryTake(id, out NvmeSlot request))
        {
            NvmeController.TryResume(request);
            return _controller.Complete(request, NvmeStatus.AbortedByRequest) && epoch == _controller.Epoch
                && _controller.Complete(slot, NvmeStatus.Success);
        }

        foreach (NvmeSlot other in _controller.Slots.All)
        {
            if (other.State == NvmeSlotState.Working && other.Epoch == epoch && other.Queue!.Id == queue && other.Command.CommandId == id
                && _controller.TryTakeBack(other))
            {
                return _controller.Complete(other, NvmeStatus.AbortedByRequest) && epoch == _controller.Epoch
                    && _controller.Complete(slot, NvmeStatus.Success);
            }
        }

        return _controller.Complete(slot, NvmeStatus.Success, NvmeAbortBits.NotAborted);
    }

    private bool UseDoorbellBuffer(NvmeSlot slot)
    {
        const ulong OffsetMask = NvmeLimits.PageSize - 1;
        ulong shadow = slot.Command.Prp1;
        ulong events = slot.Command.Prp2;
        if (((shadow | events) & OffsetMask) != 0 || shadow == events || shadow == 0 || events == 0)
        {
            return _controller.Complete(slot, NvmeStatus.InvalidField);
        }

        int epoch = _controller.Epoch;
        Errno errno = _controller.Doorbells.UseShadow(_controller.Memory, shadow, events);
        return epoch == _controller.Epoch
            && _controller.Complete(slot, errno == Errno.None ? NvmeStatus.Success : NvmeStatus.DataTransferError);
    }

    /// <summary>Sends the answer that is in the buffer, and completes the command.</summary>
    private bool Answer(NvmeSlot slot, int length, uint result)
    {
        int epoch = _controller.Epoch;
        NvmeStatus status = Send(slot, length);
        return epoch == _controller.Epoch && _controller.Complete(slot, status, status == NvmeStatus.Success ? result : 0);
    }

    private NvmeStatus Send(NvmeSlot slot, int length) => Move(slot, length, toHost: true);

    private NvmeStatus Receive(NvmeSlot slot, int length) => Move(slot, length, toHost: false);

    private NvmeStatus Move(NvmeSlot slot, int length, bool toHost)
    {
        NvmeHostMemory memory = _controller.Memory;
        Errno errno = NvmePrp.Walk(
            memory, slot.Command.Prp1, slot.Command.Prp2, (uint)length, slot.Segments, out int count, out NvmeStatus status);
        if (errno == Errno.None && status != NvmeStatus.Success)
        {
            return status;
        }

        int at = 0;
        for (int i = 0; i < count && errno == Errno.None; i++)
        {
            NvmeSegment segment = slot.Segments[i];
            Span<byte> part = _data.AsSpan(at, (int)segment.Length);
            errno = toHost ? memory.Write(segment.Iova, part) : memory.Read(segment.Iova, part);
            at += part.Length;
        }

        return errno == Errno.None ? NvmeStatus.Success : NvmeStatus.DataTransferError;
    }
}
