using System.Runtime.InteropServices;
using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>DEVICE_FEATURE.</content>
public abstract partial class VfioDevice
{
    /// <summary>How the device migrates; null when it does not. Looked at when it is registered, and for every feature of migration.</summary>
    protected internal virtual MigrationOperations? Migration => null;

    /// <summary>How the device remembers what it writes; null when it does not. Looked at as <see cref="Migration"/>.</summary>
    protected internal virtual LoggingOperations? Logging => null;

    /// <summary>A feature that the core does not have for all devices.</summary>
    /// <param name="request">The call.</param>
    /// <exception cref="VfioException">
    /// ENOTTY: the device does not have it either; as <see cref="VfioFeatureRequest.Proceed"/>; the feature's own errors.
    /// </exception>
    protected internal virtual void Feature(in VfioFeatureRequest request) => throw NoFeature(request);

    /// <summary>Whether the device can be registered.</summary>
    /// <exception cref="VfioException">EINVAL: part of what it offers is missing.</exception>
    internal void CheckRegistration(string what)
    {
        Migration?.Check(what);
        Logging?.Check(what);
    }

    /// <summary>DEVICE_FEATURE with the kernel's structure, as it arrives at a device file.</summary>
    /// <param name="file">The file.</param>
    /// <param name="argument">The structure, to be answered in place.</param>
    /// <returns>What ioctl(2) returns.</returns>
    /// <exception cref="VfioException">
    /// ENOTTY: the device has no such feature, whatever is asked; EINVAL: flags, operation or size; EFAULT: the structure or what it
    /// points to is not there; the feature's own errors.
    /// </exception>
    internal int DeviceFeature(VfioDeviceFile file, Span<byte> argument)
    {
        string what = $"DEVICE_FEATURE of {Name}";
        VfioDeviceFeature call = Arguments.TakeIgnoringRest<VfioDeviceFeature>(what, argument, VfioDeviceFeature.Length);
        const VfioFeatureFlags Both = VfioFeatureFlags.Get | VfioFeatureFlags.Set;
        if ((call.Flags & ~(VfioFeatureFlags.FeatureMask | VfioFeatureFlags.Operations)) != 0)
        {
            throw new VfioException(Errno.EINVAL, what, $"unknown flags 0x{(uint)call.Flags:x}");
        }

        if ((call.Flags & VfioFeatureFlags.Probe) == 0 && (call.Flags & Both) == Both)
        {
            throw new VfioException(Errno.EINVAL, what, "GET and SET go together only in a probe");
        }

        var request = new VfioFeatureRequest(
            Name, call.Flags, argument[VfioDeviceFeature.Length..(int)call.ArgumentSize], file.UserMemory, file.UserFiles);
        switch (request.Feature)
        {
            case VfioFeature.Migration:
                MigrationFeature(request, Having(Migration, request));
                break;
            case VfioFeature.MigrationDeviceState:
                MigrationStateFeature(request, Having(Migration, request));
                break;
            case VfioFeature.MigrationDataSize:
                MigrationDataSizeFeature(request, Having(Migration, request));
                break;
            case VfioFeature.MigrationPrecopyInfo2:
                PrecopyInfoFeature(request, Having(Migration, request));
                break;
            case VfioFeature.DmaLoggingStart:
                LoggingStartFeature(request, Having(Logging, request));
                break;
            case VfioFeature.DmaLoggingStop:
                LoggingStopFeature(request, Having(Logging, request));
                break;
            case VfioFeature.DmaLoggingReport:
                LoggingReportFeature(request, Having(Logging, request));
                break;
            default:
                Feature(request);
                break;
        }

        return 0;
    }

    /// <summary>What a device throws for a feature that it does not have.</summary>
    /// <param name="request">The call.</param>
    /// <returns>ENOTTY.</returns>
    protected static VfioException NoFeature(in VfioFeatureRequest request) => new(Errno.ENOTTY, request.What, "the device does not have it");

    private static T Having<T>(T? operations, in VfioFeatureRequest request)
        where T : class => operations ?? throw NoFeature(request);

    private static void MigrationFeature(in VfioFeatureRequest request, MigrationOperations migration)
    {
        if (request.Proceed(VfioFeatureFlags.Get, VfioFeatureMigration.Length))
        {
            request.Put(new VfioFeatureMigration { Flags = migration.Flags });
        }
    }

    private static void MigrationStateFeature(in VfioFeatureRequest request, MigrationOperations migration)
    {
        if (!request.Proceed(VfioFeatureFlags.Get | VfioFeatureFlags.Set, VfioFeatureMigrationState.Length))
        {
            return;
        }

        VfioFeatureMigrationState state = request.Take<VfioFeatureMigrationState>();
        state.DataDescriptor = VfioFeatureMigrationState.NoDescriptor;
        if (!request.IsSet)
        {
            state.DeviceState = migration.GetState!();
            request.Put(state);
            return;
        }

        // Also when the device refuses, the user must not take an old number for a file.
        request.Put(state);
        if (migration.SetState!(state.DeviceState) is { } file)
        {
            state.DataDescriptor = request.Files.InstallOrClose(file);
            request.Put(state);
        }
    }

    private static void MigrationDataSizeFeature(in VfioFeatureRequest request, MigrationOperations migration)
    {
        if (request.Proceed(VfioFeatureFlags.Get, VfioFeatureMigrationDataSize.Length))
        {
            request.Put(new VfioFeatureMigrationDataSize { StopCopyLength = migration.GetDataSize!() });
        }
    }

    private static void PrecopyInfoFeature(in VfioFeatureRequest request, MigrationOperations migration)
    {
        if ((migration.Flags & MigrationFlags.PreCopy) == 0)
        {
            throw new VfioException(Errno.EINVAL, request.What, "the device has no PRE_COPY");
        }

        if (request.Proceed(VfioFeatureFlags.Set, 0))
        {
            migration.AllowRestarts?.Invoke();
        }
    }
}
