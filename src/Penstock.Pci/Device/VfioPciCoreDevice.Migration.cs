using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

// Migration of functions that declare their state. A variant that does it in its own way replaces the property.
public partial class VfioPciCoreDevice
{
    private readonly VfioMigration? _migration;
    private DeviceActivity _migrationAllows = DeviceActivity.Running;
    private DeviceActivity _activity = DeviceActivity.Running;

    /// <inheritdoc/>
    protected override MigrationOperations? Migration => _migration?.Operations;

    /// <inheritdoc/>
    /// <remarks>Every function can be logged: its port is its only way to memory.</remarks>
    protected override LoggingOperations? Logging => _port.Dma.Logging;

    /// <summary>What configuration space and interrupts have beside the function's own tables.</summary>
    private DeviceStateTable DeclareCore()
    {
        var core = new DeviceStateTable("pci", 1);
        _config.Declare(core);
        return core.Flag("interrupt pin", () => _config.InterruptAsserted, SetIntx);
    }

    private VfioMigration? CreateMigration()
    {
        if (_function is not IMigratableFunction function)
        {
            return null;
        }

        PciFunctionDescription facts = function.Description;
        string identity = $"pci:{facts.VendorId:x4}:{facts.DeviceId:x4}:{facts.SubsystemVendorId:x4}:{facts.SubsystemId:x4}";
        var state = new DeviceState(identity, _strand, [DeclareCore(), function.State], () =>
        {
            ApplyCommand();
            function.StateLoaded();
        });
        return new VfioMigration(Name, new Moved(this, function, state), _log);
    }

    private void SetActivity(DeviceActivity activity) => _strand.RunOn(() =>
    {
        _migrationAllows = activity;
        ApplyActivity();
    });

    /// <summary>What the function may do: as much as its migration state allows, and nothing while it sleeps. On the strand.</summary>
    private void ApplyActivity()
    {
        DeviceActivity activity = _sleeps ? DeviceActivity.Stopped : _migrationAllows;
        if (activity == DeviceActivity.Running)
        {
            ResumeInterrupts();
            _port.Dma.Resume();
            _strand.Thaw();
        }
        else
        {
            _strand.Freeze();
            _port.Dma.Suspend();
            if (activity == DeviceActivity.Stopped)
            {
                SuspendInterrupts();
            }
            else
            {
                ResumeInterrupts();
            }
        }

        if (activity != _activity)
        {
            _activity = activity;
            (_function as IMigratableFunction)?.ActivityChanged(activity);
        }
    }

    private sealed class Moved(VfioPciCoreDevice device, IMigratableFunction function, DeviceState state) : IMigratableDevice
    {
        public MigrationFlags Flags => function.MigrationFlags;

        public ulong EstimatedSize => state.EstimatedSize;

        public void SetActivity(DeviceActivity activity) => device.SetActivity(activity);

        public MigrationSource Save(bool stopped) => state.Save(stopped);

        public MigrationTarget Load() => state.Load();
    }
}
