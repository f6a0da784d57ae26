using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <content>The registers (NVM Express Base 1.4, section 3.1). 8-byte registers may be used in halves.</content>
internal sealed partial class NvmeController
{
    private const int HalfShift = 32;
    private const ulong High = sizeof(uint);

    private NvmeConfiguration _configuration;
    private NvmeControllerStatus _status;
    private NvmeAdminQueueAttributes _adminAttributes;
    private ulong _adminSubmissions;
    private ulong _adminCompletions;

    private NvmeCapabilities Capabilities => new()
    {
        MaxQueueEntries = Options.QueueEntries,
        ContiguousQueuesRequired = true,
        Timeout = NvmeOptions.ReadyTimeout,
        NvmCommandSet = true,
    };

    private NvmeShutdownStatus ShutdownStatus => _status.ShutdownStatus;

    /// <summary>Reads a double word.</summary>
    internal uint ReadRegister(ulong offset) => offset switch
    {
        NvmeRegisters.Capabilities => (uint)Capabilities.Value,
        NvmeRegisters.Capabilities + High => (uint)(Capabilities.Value >> HalfShift),
        NvmeRegisters.Version => NvmeRegisters.Version14,
        NvmeRegisters.InterruptMaskSet or NvmeRegisters.InterruptMaskClear => _interrupts?.Mask ?? 0,
        NvmeRegisters.Configuration => _configuration.Value,
        NvmeRegisters.Status => _status.Value,
        NvmeRegisters.AdminQueueAttributes => _adminAttributes.Value,
        NvmeRegisters.AdminSubmissionQueue => (uint)_adminSubmissions,
        NvmeRegisters.AdminSubmissionQueue + High => (uint)(_adminSubmissions >> HalfShift),
        NvmeRegisters.AdminCompletionQueue => (uint)_adminCompletions,
        NvmeRegisters.AdminCompletionQueue + High => (uint)(_adminCompletions >> HalfShift),
        _ => 0,
    };

    /// <summary>Writes a double word.</summary>
    internal void WriteRegister(ulong offset, uint value)
    {
        switch (offset)
        {
            case NvmeRegisters.InterruptMaskSet:
                SetInterruptMask(_interrupts!.Mask | value);
                break;
            case NvmeRegisters.InterruptMaskClear:
                SetInterruptMask(_interrupts!.Mask & ~value);
                break;
            case NvmeRegisters.Configuration:
                Configure(new NvmeConfiguration(value & NvmeConfiguration.Defined));
                break;
            case >= NvmeRegisters.AdminQueueAttributes and < NvmeRegisters.MemoryBufferLocation when !_configuration.Enabled:
                SetAdminQueue(offset, value);
                break;
            case >= NvmeRegisters.Doorbells:
                Ring((int)((offset - NvmeRegisters.Doorbells) / NvmeRegisters.DoorbellSize), value);
                break;
        }
    }

    private void SetInterruptMask(uint mask)
    {
        _interrupts!.Mask = mask;
        _interrupts.UpdatePin();
    }

    private void SetAdminQueue(ulong offset, uint value)
    {
        const uint LowMask = ~(uint)(NvmeLimits.PageSize - 1);
        switch (offset)
        {
            case NvmeRegisters.AdminQueueAttributes:
                _adminAttributes = new NvmeAdminQueueAttributes(value & NvmeAdminQueueAttributes.Defined);
                break;
            case NvmeRegisters.AdminSubmissionQueue:
                _adminSubmissions = WithLow(_adminSubmissions, value & LowMask);
                break;
            case NvmeRegisters.AdminSubmissionQueue + High:
                _adminSubmissions = WithHigh(_adminSubmissions, value);
                break;
            case NvmeRegisters.AdminCompletionQueue:
                _adminCompletions = WithLow(_adminCompletions, value & LowMask);
                break;
            case NvmeRegisters.AdminCompletionQueue + High:
                _adminCompletions = WithHigh(_adminCompletions, value);
                break;
        }
    }

    private static ulong WithLow(ulong before, uint low) => (before & ~(ulong)uint.MaxValue) | low;

    private static ulong WithHigh(ulong before, uint high) => (uint)before | ((ulong)high << HalfShift);

    private void Ring(int index, uint value)
    {
        if (!IsWorking)
        {
            return;
        }

        // Looked at before the head moves.
        bool mustWork = index % 2 == 0 || _doorbells.HasShadow || Queues.Completion(index / 2) is { IsBlocking: true };
        _doorbells.Write(index, value);
        if (index % 2 != 0 && !_port!.UsesVectors)
        {
            _interrupts!.UpdatePin();
        }

        if (mustWork || Events.CanTell)
        {
            Kick();
        }
    }
}
