using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>
/// The state as a table. Commands that were taken and not completed are part of it, as the host wrote them: where the controller goes on they are
/// carried out again, which changes nothing, because nobody was told that they are done; those that are done travel with their status.
/// </content>
internal sealed partial class NvmeController
{
    private const ulong PageMask = NvmeLimits.PageSize - 1;
    private const uint StatusBits = 0xf;
    private const int GeometryLength = 32;
    private const uint ReadOnlyKind = 1;
    private const uint CachedKind = 2;
    private const uint DeallocatingKind = 4;

    private NvmeQueueImage? _submissionImages;
    private NvmeQueueImage? _completionImages;
    private NvmeCommandImage? _commandImages;
    private bool _pinWas;

    /// <summary>How much the function may do by itself has changed.</summary>
    internal void ActivityChanged(DeviceActivity activity)
    {
        if (activity == DeviceActivity.Running)
        {
            // Another process may have it still; then commands fail until it lets go, and hosts try again.
            Namespace.Backing.Activate();
            _workers.Go();
            Kick();
            return;
        }

        // A machine that is only paused, or a function that sleeps, keeps its blocks: nobody else may change them meanwhile.
        _workers.Stop();
    }

    /// <summary>Adds the controller's fields to a table. The first one is the one that is saved first.</summary>
    internal void Declare(DeviceStateTable table)
    {
        _submissionImages = new NvmeQueueImage(Options.IoQueues + 1);
        _completionImages = new NvmeQueueImage(Options.IoQueues + 1);
        _commandImages = new NvmeCommandImage(Options.Commands);
        table.Bytes("geometry", GeometryLength, SaveGeometry, static _ => { }, CheckGeometry)
            .Number("cc", 4, () => _configuration.Value, value => _configuration = new NvmeConfiguration((uint)value & NvmeConfiguration.Defined))
            .Number("csts", 4, () => _status.Value, value => _status = new NvmeControllerStatus((uint)value), largest: StatusBits)
            .Number("aqa", 4, () => _adminAttributes.Value, value => _adminAttributes = new NvmeAdminQueueAttributes((uint)value & NvmeAdminQueueAttributes.Defined))
            .Number("asq", 8, () => _adminSubmissions, value => _adminSubmissions = value & ~PageMask)
            .Number("acq", 8, () => _adminCompletions, value => _adminCompletions = value & ~PageMask)
            .Number("interrupt mask", 4, () => _interrupts!.Mask, value => _interrupts!.Mask = (uint)value)
            .Flag("interrupt pin", () => _interrupts!.IsAsserted, value => _pinWas = value)
            .Flag("enabling", () => _isEnabling, value => _isEnabling = value)
            .Flag("resetting", () => _isResetting, value => _isResetting = value)
            .Bytes("submission queues", _submissionImages.Length, SaveSubmissions, _submissionImages.Load)
            .Bytes("completion queues", _completionImages.Length, SaveCompletions, _completionImages.Load)
            .Bytes("commands", _commandImages.Length, SaveCommands, _commandImages.Load)
            .Flag("writing a completion", () => _isWriting, value => _isWriting = value)
            .Number("address of that", 8, () => _writingAddress, value => _writingAddress = value)
            .Bytes("that completion", NvmeCompletion.Length, bytes => MemoryMarshal.Write(bytes, _writing), bytes => _writing = MemoryMarshal.Read<NvmeCompletion>(bytes))
            .Number("flush failure", 4, () => (ulong)Namespace.FlushFailure, value => Namespace.MovedFlushFailure((Errno)value), largest: ushort.MaxValue, since: 2);
        _doorbells.Declare(table);
        Events.Declare(table);
        _admin.Declare(table);
    }

    /// <summary>Everything was set: queues and commands are made of it, and work goes on when the function runs.</summary>
    /// <exception cref="VfioException">EINVAL: the parts do not fit together.</exception>
    internal void Loaded()
    {
        Transfer = _port!.Dma.BeginTransfer();
        for (int id = 0; id <= Options.IoQueues; id++)
        {
            if (_completionImages!.Take(id) is { } image)
            {
                Require(image.IsPossible(Limit(id)), $"completion queue {id} has {image.Entries} entries, head {image.Head} and tail {image.Tail}");
                Queues.Add(new NvmeCompletionQueue((ushort)id, image.Address, image.Entries, image.Other, image.IsSet(NvmeQueueImage.Interrupts))
                {
                    Head = image.Head,
                    Tail = image.Tail,
                    Phase = image.IsSet(NvmeQueueImage.Phase),
                    WantsInterrupt = image.Head != image.Tail,
                });
            }
        }

        for (int id = 0; id <= Options.IoQueues; id++)
        {
            if (_submissionImages!.Take(id) is { } image)
            {
                NvmeCompletionQueue? completions = Queues.Completion(image.Other);
                Require(
                    image.IsPossible(Limit(id)) && completions is not null,
                    $"submission queue {id} has {image.Entries} entries, head {image.Head}, tail {image.Tail} and completion queue {image.Other}");
                Queues.Add(new NvmeSubmissionQueue((ushort)id, image.Address, image.Entries, completions!)
                {
                    Head = image.Head,
                    Tail = image.Tail,
                });
            }
        }

        bool hasAdmin = Queues.Submission(0) is { Completions.Id: 0 };
        Require(hasAdmin || !_status.Ready || _isResetting, "the controller is ready and has no admin queues");
        LoadCommands();

        // What was beyond before was told there, or is among the events.
        _wasBeyond = _admin.Features.IsTemperatureBeyond;
        FeaturesChanged();
        _interrupts!.Reload(_pinWas);
        if (IsQuiet)
        {
            Drained();
        }

        Kick();
    }

    private static void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new VfioException(Errno.EINVAL, "loading the state of an NVMe controller", what);
        }
    }

    private int Limit(int id) => id == 0 ? NvmeLimits.MaximumAdminQueueEntries : Options.QueueEntries;

    private void SaveGeometry(Span<byte> bytes)
    {
        // What the workers have finished by now is finished, not to be done again.
        CollectFinished();

        // Where the state goes the blocks are needed.
        Namespace.Backing.Deactivate();
        FillGeometry(bytes);
    }

    private void FillGeometry(Span<byte> bytes)
    {
        BinaryPrimitives.WriteInt32LittleEndian(bytes, Options.IoQueues);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[4..], Options.QueueEntries);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[8..], Options.Commands);
        BinaryPrimitives.WriteInt32LittleEndian(bytes[12..], Namespace.BlockSize);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[16..], Namespace.Blocks);

        // What hosts have read in Identify, and rely on.
        INvmeBacking backing = Namespace.Backing;
        uint kind = (backing.IsReadOnly ? ReadOnlyKind : 0) | (backing.MayBlock ? CachedKind : 0) | (backing.CanDeallocate ? DeallocatingKind : 0);
        BinaryPrimitives.WriteUInt64LittleEndian(bytes[24..], kind);
    }

    private string? CheckGeometry(ReadOnlySpan<byte> bytes)
    {
        Span<byte> own = stackalloc byte[GeometryLength];
        FillGeometry(own);
        return bytes.SequenceEqual(own) ? null : $"it is {Words(bytes)} and this one {Words(own)}; serve both with the same options";

        static string Words(ReadOnlySpan<byte> b) =>
            $"a disk of {BinaryPrimitives.ReadUInt64LittleEndian(b[16..])} blocks of {BinaryPrimitives.ReadInt32LittleEndian(b[12..])} bytes"
            + $" with {BinaryPrimitives.ReadInt32LittleEndian(b)} queues of {BinaryPrimitives.ReadInt32LittleEndian(b[4..])} entries"
            + $"{(Is(b, ReadOnlyKind) ? ", read-only" : "")}{(Is(b, CachedKind) ? ", with a write cache" : "")}{(Is(b, DeallocatingKind) ? "" : ", without deallocation")}";

        static bool Is(ReadOnlySpan<byte> b, uint kind) => (BinaryPrimitives.ReadUInt64LittleEndian(b[24..]) & kind) != 0;
    }

    private void SaveSubmissions(Span<byte> bytes)
    {
        bytes.Clear();
        for (int id = 0; id < Queues.End; id++)
        {
            if (Queues.Submission(id) is { } queue)
            {
                new NvmeQueueImage.Record(
                    NvmeQueueImage.Exists,
                    queue.Completions.Id,
                    queue.Entries,
                    queue.Head,
                    queue.Tail,
                    queue.Address).Save(bytes, id);
            }
        }
    }

    private void SaveCompletions(Span<byte> bytes)
    {
        bytes.Clear();
        for (int id = 0; id < Queues.End; id++)
        {
            if (Queues.Completion(id) is { } queue)
            {
                new NvmeQueueImage.Record(
                    NvmeQueueImage.Exists | (queue.Phase ? NvmeQueueImage.Phase : 0) | (queue.Interrupts ? NvmeQueueImage.Interrupts : 0),
                    queue.Vector,
                    queue.Entries,
                    queue.Head,
                    queue.Tail,
                    queue.Address).Save(bytes, id);
            }
        }
    }

    private void SaveCommands(Span<byte> bytes)
    {
        bytes.Clear();
        foreach (NvmeJob job in Jobs.All)
        {
            // What belongs to an earlier life is only waited for.
            if (job.State != NvmeJobState.Free && job.Epoch == Epoch)
            {
                NvmeCommandImage.Save(bytes, job);
            }
        }
    }

    private void LoadCommands()
    {
        _finishedFirst = 0;
        _finishedCount = 0;
        foreach (NvmeJob job in Jobs.All)
        {
            // A job that a worker still has, with a command of before, is not free.
            if (!_commandImages!.TryTake(job.Index, out NvmeCommandImage.Record record))
            {
                continue;
            }

            NvmeSubmissionQueue? queue = Queues.Submission(record.Queue);
            Require(queue is not null, $"a command is of queue {record.Queue}, which does not exist");
            Require(Jobs.Free != 0, "there are more commands than places for them");
            NvmeJob place = Jobs.Take(queue!, record.Command, Epoch);
            place.Transfer = Transfer;
            place.Status = record.Status & (NvmeStatus.CodeMask | NvmeStatus.DoNotRetry);
            place.Result = record.Result;
            queue!.Completions.Reserved++;
            queue.Outstanding++;
            switch (record.State)
            {
                case NvmeJobState.Finished:
                    place.State = NvmeJobState.Finished;
                    _finished[_finishedCount++] = place.Index;
                    break;
                case NvmeJobState.Held when place.IsAdmin && _admin.TryHoldAgain(place):
                    break;
                default:
                    _mustRedo = true;
                    break;
            }
        }

        Events.Restore();
    }
}
