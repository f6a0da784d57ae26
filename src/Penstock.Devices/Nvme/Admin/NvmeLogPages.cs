using System.Buffers.Binary;
using System.Text;
using Penstock.Specs.Nvme;

namespace Penstock.Devices;

/// <summary>Answers Get Log Page (NVM Express base specification 1.4, section 5.14). On the strand only.</summary>
internal sealed class NvmeLogPages
{
    private const byte FullSpare = 100;
    private const byte SpareThreshold = 10;
    private const int SectorsInUnit = 1000;

    private readonly NvmeIdentity _identity;
    private readonly NvmeNamespace _disk;
    private readonly NvmeFeatures _features;
    private readonly TimeProvider _time;
    private readonly long _start;

    /// <summary>Creates the pages of a controller.</summary>
    /// <param name="identity">What the controller says of itself.</param>
    /// <param name="disk">Its namespace.</param>
    /// <param name="features">Its features, for the thresholds.</param>
    /// <param name="time">The clock for the hours.</param>
    public NvmeLogPages(NvmeIdentity identity, NvmeNamespace disk, NvmeFeatures features, TimeProvider? time = null)
    {
        _identity = identity;
        _disk = disk;
        _features = features;
        _time = time ?? TimeProvider.System;
        _start = _time.GetTimestamp();
    }

    /// <summary>What SMART counts.</summary>
    public NvmeCounters Counters { get; } = new();

    /// <summary>The errors.</summary>
    public NvmeErrorLog Errors { get; } = new();

    /// <summary>Where the controller's time goes, if it is to tell.</summary>
    public NvmeSampler? Times { get; init; }

    /// <summary>Whether the namespace has changed and the host has not read that yet.</summary>
    public bool NamespaceChanged { get; set; }

    /// <summary>How long this process has served it.</summary>
    public ulong PowerOnHours => (ulong)_time.GetElapsedTime(_start).TotalHours;

    /// <summary>The log that a command asks for, and whether the event that belongs to it stays outstanding.</summary>
    public static (NvmeLogId Log, bool Retain) Target(in NvmeCommand command) =>
        ((NvmeLogId)(command.Cdw10 & NvmeLogBits.LogMask), (command.Cdw10 & NvmeLogBits.RetainEvent) != 0);

    /// <summary>Checks the command.</summary>
    /// <param name="command">A private copy.</param>
    /// <param name="length">How many bytes the host wants; at most a transfer.</param>
    /// <returns>Success, or what is wrong with it.</returns>
    public NvmeStatus Check(in NvmeCommand command, out int length)
    {
        length = 0;
        int size = SizeOf(Target(command).Log);
        if (size == 0)
        {
            return NvmeStatus.InvalidLogPage;
        }

        if (command.NamespaceId is not (0 or NvmeLimits.AllNamespaces))
        {
            // All logs are the controller's.
            return command.NamespaceId == _disk.Id ? NvmeStatus.InvalidField : NvmeStatus.InvalidNamespace;
        }

        ulong offset = OffsetOf(command);
        if (offset % sizeof(uint) != 0 || offset > (ulong)size || (command.Cdw14 & NvmeLogBits.OffsetIsIndex) != 0)
        {
            return NvmeStatus.InvalidField;
        }

        ulong dwords = ((command.Cdw10 >> NvmeLogBits.LengthLowShift) | ((command.Cdw11 & NvmeLogBits.LengthHighMask) << NvmeLogBits.LengthLowShift)) + 1ul;
        if (dwords > (ulong)_identity.MaxTransfer / sizeof(uint))
        {
            return NvmeStatus.InvalidField;
        }

        length = (int)dwords * sizeof(uint);
        return NvmeStatus.Success;
    }

    /// <summary>Answers a command that <see cref="Check"/> was content with; what it reads without retaining counts as read.</summary>
    /// <param name="command">A private copy.</param>
    /// <param name="destination">Receives what the host wants; zeroes behind the end of the log.</param>
    public void Read(in NvmeCommand command, Span<byte> destination)
    {
        (NvmeLogId log, bool retain) = Target(command);
        ulong offset = OffsetOf(command);
        if (log == NvmeLogId.Errors)
        {
            Errors.Read(offset, destination);
            return;
        }

        Span<byte> page = stackalloc byte[NvmeEffectsLog.Length];
        page.Clear();
        switch (log)
        {
            case NvmeLogId.SupportedPages:
                FillSupported(page);
                break;
            case NvmeLogId.Smart:
                FillSmart(page);
                break;
            case NvmeLogId.FirmwareSlots:
                page[NvmeFirmwareLog.Active] = 1;
                page.Slice(NvmeFirmwareLog.Slot1, NvmeIdentifyController.FirmwareRevisionLength).Fill((byte)' ');
                Encoding.ASCII.GetBytes(_identity.FirmwareRevision, page[NvmeFirmwareLog.Slot1..]);
                break;
            case NvmeLogId.ChangedNamespaces:
                Put32(page, 0, NamespaceChanged ? _disk.Id : 0);
                NamespaceChanged &= retain;
                break;
            case NvmeLogId.CommandEffects:
                FillEffects(page);
                break;
            default:
                Times!.Read().Write(page);
                break;
        }

        ReadOnlySpan<byte> rest = page[..SizeOf(log)][(int)offset..];
        destination.Clear();
        rest[..Math.Min(rest.Length, destination.Length)].CopyTo(destination);
    }

    private int SizeOf(NvmeLogId log) => log switch
    {
        NvmeLogId.SupportedPages => NvmeSupportedLogs.Length,
        NvmeLogId.Errors => NvmeErrorLog.Size,
        NvmeLogId.Smart => NvmeSmartLog.Length,
        NvmeLogId.FirmwareSlots => NvmeFirmwareLog.Length,
        NvmeLogId.ChangedNamespaces => NvmeChangedNamespaceLog.Length,
        NvmeLogId.CommandEffects => NvmeEffectsLog.Length,
        _ when log == NvmeTimesLog.Id && Times is not null => NvmeTimesLog.Length,
        _ => 0,
    };

    private static ulong OffsetOf(in NvmeCommand command) => command.Cdw12 | ((ulong)command.Cdw13 << 32);

    private static void Put32(Span<byte> page, int offset, uint value) => BinaryPrimitives.WriteUInt32LittleEndian(page[offset..], value);

    private static void Put64(Span<byte> page, int offset, ulong value) => BinaryPrimitives.WriteUInt64LittleEndian(page[offset..], value);

    private void FillSupported(Span<byte> page)
    {
        for (int log = 0; log <= (int)NvmeLogId.CommandEffects; log++)
        {
            Put32(page, log * sizeof(uint), NvmeSupportedLogs.Supported);
        }

        if (Times is not null)
        {
            Put32(page, (int)NvmeTimesLog.Id * sizeof(uint), NvmeSupportedLogs.Supported);
        }
    }

    private void FillSmart(Span<byte> page)
    {
        page[NvmeSmartLog.Warnings] = _features.IsTemperatureBeyond ? NvmeSmartLog.WarningTemperature : (byte)0;
        BinaryPrimitives.WriteUInt16LittleEndian(page[NvmeSmartLog.Temperature..], NvmeFeatures.Temperature);
        page[NvmeSmartLog.Spare] = FullSpare;
        page[NvmeSmartLog.SpareThreshold] = SpareThreshold;
        Put64(page, NvmeSmartLog.DataUnitsRead, Units(Counters.SectorsRead));
        Put64(page, NvmeSmartLog.DataUnitsWritten, Units(Counters.SectorsWritten));
        Put64(page, NvmeSmartLog.HostReads, Counters.Reads);
        Put64(page, NvmeSmartLog.HostWrites, Counters.Writes);
        Put64(page, NvmeSmartLog.PowerCycles, 1);
        Put64(page, NvmeSmartLog.PowerOnHours, PowerOnHours);
        Put64(page, NvmeSmartLog.UnsafeShutdowns, Counters.UnsafeShutdowns);
        Put64(page, NvmeSmartLog.MediaErrors, Counters.MediaErrors);
        Put64(page, NvmeSmartLog.ErrorLogEntries, Errors.Count);
    }

    private static ulong Units(ulong sectors) => (sectors / SectorsInUnit) + (sectors % SectorsInUnit == 0 ? 0ul : 1ul);

    private void FillEffects(Span<byte> page)
    {
        Admin(page, NvmeAdminOpcode.DeleteSubmissionQueue);
        Admin(page, NvmeAdminOpcode.CreateSubmissionQueue);
        Admin(page, NvmeAdminOpcode.GetLogPage);
        Admin(page, NvmeAdminOpcode.DeleteCompletionQueue);
        Admin(page, NvmeAdminOpcode.CreateCompletionQueue);
        Admin(page, NvmeAdminOpcode.Identify);
        Admin(page, NvmeAdminOpcode.Abort);
        Admin(page, NvmeAdminOpcode.SetFeatures);
        Admin(page, NvmeAdminOpcode.GetFeatures);
        Admin(page, NvmeAdminOpcode.AsyncEventRequest);
        Admin(page, NvmeAdminOpcode.KeepAlive);
        if (_identity.DoorbellBuffer)
        {
            Admin(page, NvmeAdminOpcode.DoorbellBufferConfig);
        }

        Io(page, NvmeIoOpcode.Flush, 0);
        Io(page, NvmeIoOpcode.Read, 0);
        Io(page, NvmeIoOpcode.Compare, 0);
        Io(page, NvmeIoOpcode.Write, NvmeEffectsLog.ChangesBlocks);
        Io(page, NvmeIoOpcode.WriteZeroes, NvmeEffectsLog.ChangesBlocks);
        Io(page, NvmeIoOpcode.DatasetManagement, NvmeEffectsLog.ChangesBlocks);
    }

    private static void Admin(Span<byte> page, NvmeAdminOpcode opcode) =>
        Put32(page, NvmeEffectsLog.AdminCommands + ((int)opcode * sizeof(uint)), NvmeEffectsLog.Supported);

    private static void Io(Span<byte> page, NvmeIoOpcode opcode, uint effects) =>
        Put32(page, NvmeEffectsLog.IoCommands + ((int)opcode * sizeof(uint)), NvmeEffectsLog.Supported | effects);
}
