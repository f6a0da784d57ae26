using Penstock.Interop;
using Penstock.Specs.Nvme;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <content>Enable, reset, shutdown, and what cannot go on (NVM Express Base 1.4, sections 3.1.5, 7.3 and 7.6).</content>
internal sealed partial class NvmeController
{
    private bool _isEnabling;
    private bool _isResetting;
    private bool _flushes;
    private bool _isFlushed;
    private bool _wasBeyond;

    /// <summary>Whether commands are taken.</summary>
    private bool IsWorking => _status is { Ready: true, Fatal: false } && !_isResetting;

    /// <summary>Whether nothing of any life is under way: no job at the workers, and no turn that waits for a message to be answered.</summary>
    private bool IsQuiet => _withWorkers == 0 && !_isInTurn;

    /// <summary>The controller cannot go on, because the host's memory does not let it: it says so and waits for a reset.</summary>
    internal void Fail(Errno errno)
    {
        // A reset, or the end of the function: there is nobody to be told.
        if (errno is not (Errno.ECANCELED or Errno.EBUSY))
        {
            _status = _status with { Fatal = true };
        }
    }

    /// <summary>The host has set a feature.</summary>
    internal void FeaturesChanged()
    {
        _io.WriteThrough = _admin.Features.WriteThrough;
        bool isBeyond = _admin.Features.IsTemperatureBeyond;
        if (isBeyond && !_wasBeyond && (_admin.Features.Events & NvmeAsyncEventConfiguration.SmartTemperature) != 0)
        {
            Events.Raise(NvmeAsyncEventType.Smart, (byte)NvmeAsyncSmartInfo.Temperature, NvmeLogId.Smart);
        }

        _wasBeyond = isBeyond;
    }

    /// <summary>As after power-on.</summary>
    internal void ResetAll()
    {
        if (_status.Ready && _status.ShutdownStatus != NvmeShutdownStatus.Complete)
        {
            Logs.Counters.UnsafeShutdowns++;
        }

        Abandon();
        ResetRegisters();
        _interrupts?.Reset();
    }

    private void ResetRegisters()
    {
        _configuration = default;
        _status = default;
        _adminAttributes = default;
        _adminSubmissions = 0;
        _adminCompletions = 0;
        _isEnabling = false;
        _isResetting = false;
        _admin.Reset();
        _io.WriteThrough = false;
        _wasBeyond = false;
    }

    /// <summary>A write of CC. While the controller is enabled only EN and SHN can change.</summary>
    private void Configure(NvmeConfiguration value)
    {
        NvmeConfiguration before = _configuration;
        if (!before.Enabled)
        {
            _configuration = value;
            if (value.Enabled)
            {
                Enable();
            }
            else
            {
                // What a host wrote before it disabled the controller is to be durable, too.
                RequestShutdown(value.Shutdown);
            }

            return;
        }

        if (!value.Enabled)
        {
            _configuration = value;
            Disable();
            return;
        }

        _configuration = before with { Shutdown = value.Shutdown };
        RequestShutdown(value.Shutdown);
    }

    private void RequestShutdown(NvmeShutdown notice)
    {
        if (notice is NvmeShutdown.Normal or NvmeShutdown.Abrupt && _status.ShutdownStatus == NvmeShutdownStatus.Normal)
        {
            _status = _status with { ShutdownStatus = NvmeShutdownStatus.Occurring };
            if (_isInTurn)
            {
                // A command waits for a message; it comes first.
                Kick();
            }
            else
            {
                ContinueShutdown();
            }
        }
    }

    private void Enable()
    {
        _status = default;

        // The flush of a shutdown while disabled, if one is under way, is none of what comes now.
        _flushes = false;
        _isFlushed = false;
        Transfer = _port!.Dma.BeginTransfer();
        if (!CanEnable())
        {
            _status = _status with { Fatal = true };
            return;
        }

        // What the workers still have is of the life before, and it may still write blocks; so may a message write memory.
        _isEnabling = true;
        if (IsQuiet)
        {
            Drained();
        }
    }

    private bool CanEnable()
    {
        NvmeCapabilities can = Capabilities;
        NvmeConfiguration wants = _configuration;
        bool submissionsFit = wants.SubmissionEntryShift is 0 or NvmeCommand.LengthShift;
        bool completionsFit = wants.CompletionEntryShift is 0 or NvmeCompletion.LengthShift;
        return _adminAttributes.SubmissionEntries >= NvmeLimits.MinimumQueueEntries
            && _adminAttributes.CompletionEntries >= NvmeLimits.MinimumQueueEntries
            && wants.PageShift >= can.MinimumPageShift && wants.PageShift <= can.MaximumPageShift
            && wants is { CommandSet: 0, Arbitration: 0 } && submissionsFit && completionsFit
            && IsMapped(_adminSubmissions, _adminAttributes.SubmissionEntries << NvmeCommand.LengthShift)
            && IsMapped(_adminCompletions, _adminAttributes.CompletionEntries << NvmeCompletion.LengthShift);
    }

    /// <summary>Whether memory is there, at both ends; unknown, as in a function that may not do DMA yet, is taken for yes.</summary>
    internal bool IsMapped(ulong address, int length) => IsMapped(address) && IsMapped(address + (ulong)length - 1);

    private bool IsMapped(ulong address)
    {
        using (DmaScope scope = Dma.Enter())
        {
            Errno errno = scope.TryHold(address, 1, DmaAccess.None, out HeldMemory held);
            if (errno == Errno.None)
            {
                held.Dispose();
                return true;
            }
        }

        // Nothing is there, or there is no DMA at all now: only then this says something else. No message is sent for what is not mapped.
        Span<byte> one = stackalloc byte[1];
        return Dma.Read(address, one, Transfer) != Errno.EFAULT;
    }

    /// <summary>A controller reset: CC.EN went from 1 to 0. The admin queues' addresses stay.</summary>
    private void Disable()
    {
        Abandon();
        _interrupts!.Reset();
        bool wasReady = _status.Ready;
        _status = new NvmeControllerStatus { Ready = wasReady && !IsQuiet };
        _isEnabling = false;
        _isResetting = !IsQuiet;
        _admin.Reset();
        _io.WriteThrough = false;
        _wasBeyond = false;
    }

    /// <summary>
    /// Ends this life: no memory of the host is touched for it any more, its queues and commands are gone. Blocks may still be written
    /// until the workers have ended what they are in.
    /// </summary>
    private void Abandon()
    {
        Epoch++;
        _port?.Dma.CancelTransfers();
        foreach (NvmeJob job in Jobs.All)
        {
            if (job.State == NvmeJobState.Working)
            {
                TryTakeBack(job);
            }
        }

        if (_workers.TryTakeBack(FlushJob))
        {
            _withWorkers--;
        }

        _flushes = false;
        _isFlushed = false;
        Jobs.ReturnAllButWorkers();
        _finishedCount = 0;
        _mustRedo = false;
        _isWriting = false;
        Queues.Clear();
        Events.Reset();
        _doorbells.Reset();
    }

    /// <summary>Nothing of any life is under way any more.</summary>
    private void Drained()
    {
        if (_isResetting)
        {
            _isResetting = false;
            _status = _status with { Ready = false };
        }

        if (_isEnabling)
        {
            _isEnabling = false;
            _doorbells.Reset();
            var completions = new NvmeCompletionQueue(
                0, _adminCompletions, (uint)_adminAttributes.CompletionEntries, vector: 0, interrupts: true);
            Queues.Add(completions);
            Queues.Add(new NvmeSubmissionQueue(0, _adminSubmissions, (uint)_adminAttributes.SubmissionEntries, completions));
            Transfer = _port!.Dma.BeginTransfer();
            _status = _status with { Ready = true };
            if (Options.Poll)
            {
                Kick();
            }
        }
    }

    /// <summary>A shutdown is complete when no I/O is under way and what was written is durable.</summary>
    private void ContinueShutdown()
    {
        bool isBusy = _withWorkers != 0 || (!_status.Fatal && (_finishedCount != 0 || _mustRedo));
        if (_status.ShutdownStatus != NvmeShutdownStatus.Occurring || isBusy)
        {
            return;
        }

        if (Namespace.Backing.MayBlock && !_isFlushed)
        {
            // The flush is a job as commands are; the host is answered meanwhile.
            _flushes = true;
            _withWorkers++;
            _workers.Enqueue(FlushJob);
            return;
        }

        _isFlushed = false;
        _status = _status with { ShutdownStatus = NvmeShutdownStatus.Complete };
    }

    /// <summary>The flush of a shutdown has ended, perhaps a shutdown of an earlier life.</summary>
    private void FlushEnded()
    {
        _isFlushed = _flushes && !_io.MustFlushAgain;
        _flushes = false;
    }
}
