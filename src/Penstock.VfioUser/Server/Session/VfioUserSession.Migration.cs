using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;
using Penstock.Specs.VfioUser;
using Penstock.Vfio;

namespace Penstock.VfioUser;

/// <content>DEVICE_FEATURE, MIG_DATA_READ, MIG_DATA_WRITE and GET_PRECOPY_INFO. Structures that VFIO reaches by pointer follow in the message here.</content>
internal sealed unsafe partial class VfioUserSession
{
    private const VfioFeatureFlags GetOrSet = VfioFeatureFlags.Get | VfioFeatureFlags.Set;

    private MigrationDataFile? _migrationData;
    private bool _migrates;
    private bool _logs;
    private bool _isLogging;

    /// <summary>Sends no DMA message while the device is stopped for migration.</summary>
    private void OpenMigration()
    {
        try
        {
            _file!.GetMigrationFlags();
            _migrates = true;
            _dmaChannel.IsDeviceStopped = IsDeviceStopped;
        }
        catch (VfioException none) when (none.Errno == Errno.ENOTTY)
        {
            // Most devices do not migrate.
        }

        _logs = _file!.HasDmaLogging;
    }

    private bool IsDeviceStopped()
    {
        try
        {
            return MigrationStateMachine.ActivityIn(_file!.GetMigrationState()) != DeviceActivity.Running;
        }
        catch (VfioException)
        {
            return false;
        }
    }

    private Errno DeviceFeature(ReadOnlySpan<byte> body, out int length)
    {
        length = 0;
        if (!TryRead(body, out VfioDeviceFeature call) || call.ArgumentSize < VfioDeviceFeature.Length)
        {
            return Errno.EINVAL;
        }

        VfioFeatureFlags operation = call.Flags & VfioFeatureFlags.Operations;
        if ((call.Flags & ~(VfioFeatureFlags.FeatureMask | VfioFeatureFlags.Operations)) != 0
            || ((operation & VfioFeatureFlags.Probe) == 0 && operation is not (VfioFeatureFlags.Get or VfioFeatureFlags.Set)))
        {
            return Errno.EINVAL;
        }

        var feature = (VfioFeature)(call.Flags & VfioFeatureFlags.FeatureMask);
        Errno known = Look(feature, out VfioFeatureFlags supported, out int request, out int reply);
        if (known != Errno.None || (operation & GetOrSet & ~supported) != 0)
        {
            return known != Errno.None ? known : Errno.EINVAL;
        }

        // Set and probe are answered with the request, as far as the client takes it.
        ReadOnlySpan<byte> echo = body[..(int)Math.Min((uint)body.Length, call.ArgumentSize)];
        if ((operation & VfioFeatureFlags.Probe) != 0)
        {
            return Echo(echo, out length);
        }

        bool set = operation == VfioFeatureFlags.Set;
        ReadOnlySpan<byte> data = body[VfioDeviceFeature.Length..];
        if (data.Length < (set ? request : feature == VfioFeature.DmaLoggingReport ? VfioUserDmaLoggingReport.Length : 0)
            || call.ArgumentSize - VfioDeviceFeature.Length < (set ? request : reply))
        {
            return Errno.EINVAL;
        }

        if (feature == VfioFeature.DmaLoggingReport)
        {
            return LoggingReport(call, data, out length);
        }

        if (set)
        {
            Errno errno = Echo(echo, out length);
            return errno == Errno.None ? SetFeature(feature, data) : errno;
        }

        length = VfioDeviceFeature.Length + reply;
        call.ArgumentSize = (uint)length;
        MemoryMarshal.Write(Payload(length), call);
        GetFeature(feature, Payload(length)[VfioDeviceFeature.Length..]);
        return Errno.None;
    }

    /// <summary>What can be done with a feature, and how long its data are. Features that need descriptors are not offered.</summary>
    private Errno Look(VfioFeature feature, out VfioFeatureFlags supported, out int request, out int reply)
    {
        (supported, request, reply) = feature switch
        {
            VfioFeature.Migration => (VfioFeatureFlags.Get, 0, VfioFeatureMigration.Length),
            VfioFeature.MigrationDeviceState => (GetOrSet, VfioFeatureMigrationState.Length, VfioFeatureMigrationState.Length),
            VfioFeature.MigrationDataSize => (VfioFeatureFlags.Get, 0, VfioFeatureMigrationDataSize.Length),
            VfioFeature.DmaLoggingStart => (VfioFeatureFlags.Set, VfioUserDmaLoggingControl.Length, 0),
            VfioFeature.DmaLoggingStop => (VfioFeatureFlags.Set, 0, 0),
            VfioFeature.DmaLoggingReport => (VfioFeatureFlags.Get, 0, VfioUserDmaLoggingReport.Length),
            _ => (VfioFeatureFlags.None, 0, 0),
        };
        bool ofMigration = feature is VfioFeature.Migration or VfioFeature.MigrationDeviceState or VfioFeature.MigrationDataSize;
        bool ofLogging = feature is VfioFeature.DmaLoggingStart or VfioFeature.DmaLoggingStop or VfioFeature.DmaLoggingReport;
        return supported == VfioFeatureFlags.None || (ofMigration && !_migrates) || (ofLogging && !_logs) ? Errno.ENOTTY : Errno.None;
    }

    private Errno Echo(ReadOnlySpan<byte> request, out int length)
    {
        length = request.Length;
        request.CopyTo(Payload(length));
        return Errno.None;
    }

    private void GetFeature(VfioFeature feature, Span<byte> data)
    {
        switch (feature)
        {
            case VfioFeature.Migration:
                MemoryMarshal.Write(data, new VfioFeatureMigration { Flags = _file!.GetMigrationFlags() });
                break;
            case VfioFeature.MigrationDataSize:
                MemoryMarshal.Write(data, new VfioFeatureMigrationDataSize { StopCopyLength = _file!.GetMigrationDataSize() });
                break;
            default:
                MemoryMarshal.Write(data, new VfioFeatureMigrationState
                {
                    DeviceState = _file!.GetMigrationState(),
                    DataDescriptor = VfioFeatureMigrationState.NoDescriptor,
                });
                break;
        }
    }

    private Errno SetFeature(VfioFeature feature, ReadOnlySpan<byte> data)
    {
        switch (feature)
        {
            case VfioFeature.MigrationDeviceState:
                if (_file!.SetMigrationState(MemoryMarshal.Read<VfioFeatureMigrationState>(data).DeviceState) is { } begun)
                {
                    _migrationData?.Dispose();
                    _migrationData = begun;

                    // This thread answers everything, so it never waits for data.
                    begun.NonBlocking = true;
                }

                return Errno.None;
            case VfioFeature.DmaLoggingStart:
                return LoggingStart(data);
            default:
                _file!.StopDmaLogging();
                _isLogging = false;
                return Errno.None;
        }
    }

    private Errno LoggingStart(ReadOnlySpan<byte> data)
    {
        VfioUserDmaLoggingControl control = MemoryMarshal.Read<VfioUserDmaLoggingControl>(data);
        ReadOnlySpan<byte> ranges = data[VfioUserDmaLoggingControl.Length..];
        if (control.RangeCount > VfioFeatureDmaLoggingControl.MaximumRanges)
        {
            return Errno.E2BIG;
        }

        int bytes = (int)control.RangeCount * VfioFeatureDmaLoggingRange.Length;
        if (ranges.Length < bytes)
        {
            return Errno.EINVAL;
        }

        control.PageSize = _file!.StartDmaLogging(MemoryMarshal.Cast<byte, VfioFeatureDmaLoggingRange>(ranges[..bytes]), control.PageSize);
        _isLogging = true;
        MemoryMarshal.Write(Payload(VfioDeviceFeature.Length + VfioUserDmaLoggingControl.Length)[VfioDeviceFeature.Length..], control);
        return Errno.None;
    }

    private Errno LoggingReport(VfioDeviceFeature call, ReadOnlySpan<byte> data, out int length)
    {
        VfioUserDmaLoggingReport report = MemoryMarshal.Read<VfioUserDmaLoggingReport>(data);
        length = 0;
        const int Head = VfioDeviceFeature.Length + VfioUserDmaLoggingReport.Length;
        if (!TryMeasureBitmap(report.Size, report.PageSize, call.ArgumentSize, Head, out int bitmap))
        {
            return Errno.EINVAL;
        }

        length = Head + bitmap;
        call.ArgumentSize = (uint)length;
        Span<byte> reply = Payload(length);
        MemoryMarshal.Write(reply, call);
        MemoryMarshal.Write(reply[VfioDeviceFeature.Length..], report);
        reply[Head..].Clear();
        _file!.ReportDmaLogging(report.Iova, report.Size, report.PageSize, reply[Head..]);
        return Errno.None;
    }

    /// <summary>Length of a bitmap in whole words; false when it does not fit into what the client takes, or cannot be.</summary>
    private bool TryMeasureBitmap(ulong size, ulong pageSize, uint takes, int head, out int length)
    {
        length = 0;
        if (size == 0 || pageSize < VfioFeatureDmaLoggingReport.SmallestPage || !ulong.IsPow2(pageSize))
        {
            return false;
        }

        const ulong BitsInWord = 64;
        ulong bytes = (((size - 1) / pageSize / BitsInWord) + 1) * sizeof(ulong);
        ulong most = Math.Min(Math.Min((ulong)_limits.MaximumTransfer, VfioUserLimits.DefaultMaximumTransfer - (ulong)head), _limits.MaximumBitmap);
        if (bytes > most || bytes + (ulong)head > takes)
        {
            return false;
        }

        length = (int)bytes;
        return true;
    }

    /// <summary>DMA_UNMAP that asks what the device has written there: the memory goes first, so that nothing is missed.</summary>
    private Errno DmaUnmapDirty(in VfioUserDmaUnmap unmap, ReadOnlySpan<byte> rest, out int length)
    {
        const int Head = VfioUserDmaUnmap.Length + VfioUserBitmap.Length;
        length = 0;
        if (!TryRead(rest, out VfioUserBitmap bitmap)
            || !TryMeasureBitmap(unmap.Size, bitmap.PageSize, unmap.ArgumentSize, Head, out int bytes)
            || bitmap.Size < (ulong)bytes
            || !_isLogging)
        {
            return Errno.EINVAL;
        }

        if (unmap.Iova + unmap.Size < unmap.Iova)
        {
            return Errno.EOVERFLOW;
        }

        length = Head + bytes;
        bitmap.Size = (ulong)bytes;
        Span<byte> reply = Payload(length);
        reply[Head..].Clear();

        _container!.UnmapDma(unmap.Iova, unmap.Size, all: false);
        _file!.ReportDmaLogging(unmap.Iova, unmap.Size, bitmap.PageSize, reply[Head..]);
        MemoryMarshal.Write(reply, unmap);
        MemoryMarshal.Write(reply[VfioUserDmaUnmap.Length..], bitmap);
        return Errno.None;
    }

    private Errno MigrationDataRead(ReadOnlySpan<byte> body, out int length)
    {
        length = 0;
        if (!TryRead(body, out VfioUserMigrationData call)
            || call.Size > (uint)Math.Min(_limits.MaximumTransfer, VfioUserLimits.DefaultMaximumTransfer)
            || call.ArgumentSize < VfioUserMigrationData.Length + (ulong)call.Size)
        {
            return Errno.EINVAL;
        }

        if (!_migrates || !MigrationStateMachine.IsSaving(_file!.GetMigrationState()) || _migrationData is not { } data)
        {
            return Errno.EINVAL;
        }

        Span<byte> reply = Payload(VfioUserMigrationData.Length + (int)call.Size);
        Errno errno = data.Read(reply[VfioUserMigrationData.Length..], out int read);
        if (errno is not (Errno.None or Errno.ENOMSG or Errno.EAGAIN))
        {
            return errno;
        }

        length = VfioUserMigrationData.Length + read;
        MemoryMarshal.Write(reply, new VfioUserMigrationData { ArgumentSize = (uint)length, Size = (uint)read });
        return Errno.None;
    }

    private Errno GetPrecopyInfo(ReadOnlySpan<byte> body, out int length)
    {
        length = 0;
        if (!TryRead(body, out VfioPrecopyInfo info)
            || info.ArgumentSize < VfioPrecopyInfo.Length
            || !_migrates
            || _file!.GetMigrationState() is not (MigrationState.PreCopy or MigrationState.PreCopyP2P)
            || _migrationData is not { } data)
        {
            return Errno.EINVAL;
        }

        info.ArgumentSize = VfioPrecopyInfo.Length;
        info.Flags = VfioPrecopyFlags.None;
        (info.InitialBytes, info.DirtyBytes) = data.GetPrecopyInfo(ref info.Flags);
        length = VfioPrecopyInfo.Length;
        MemoryMarshal.Write(Payload(length), info);
        return Errno.None;
    }

    private Errno MigrationDataWrite(ReadOnlySpan<byte> body)
    {
        if (!TryRead(body, out VfioUserMigrationData call)
            || call.ArgumentSize < VfioUserMigrationData.Length
            || call.Size != (uint)(body.Length - VfioUserMigrationData.Length))
        {
            return Errno.EINVAL;
        }

        if (!_migrates || _file!.GetMigrationState() != MigrationState.Resuming || _migrationData is not { } data)
        {
            return Errno.EINVAL;
        }

        return data.Write(body[VfioUserMigrationData.Length..], out _);
    }
}
