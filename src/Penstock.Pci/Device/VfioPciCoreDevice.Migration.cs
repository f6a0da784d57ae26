using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

// Migration of functions that declare their state. A variant that does it in its own way replaces the property.
public partial class VfioPciCoreDevice
{
    private readonly VfioMigration? _migration;
    private DeviceActivity _migrationAllows = DeviceActivity.Running;

    // What the function was told last; null when it has failed, so that nobody knows what it does.
    private DeviceActivity? _activity = DeviceActivity.Running;

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
        if (_function is not IMigratableFunction { MigrationFlags: not MigrationFlags.None } function)
        {
            return null;
        }

        PciFunctionDescription facts = function.Description;
        if (facts.Bars.FirstOrDefault(static b => b.Memory is not null) is { } mapped)
        {
            throw new ArgumentException(
                $"BAR {mapped.Index} of {Name} has memory that users map, which is not part of a migration. Declare the memory in the function's state and answer accesses to it, or do not make the function migratable.",
                nameof(function));
        }

        string identity = $"pci:{facts.VendorId:x4}:{facts.DeviceId:x4}:{facts.SubsystemVendorId:x4}:{facts.SubsystemId:x4}";
        var state = new DeviceState(identity, _strand, [DeclareCore(), function.State], loaded: () =>
        {
            ApplyCommand();
            function.StateLoaded();
        }, loading: () =>
        {
            function.Reset(PciResetKind.Bus);
            _port.Dma.CancelTransfers();
            SetIntx(false);
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
            _activity = null;
            (_function as IMigratableFunction)?.ActivityChanged(activity);
            _activity = activity;
        }
    }

    /// <summary>As <see cref="ApplyActivity"/>, where nobody is there who could be told that the function has failed.</summary>
    private void ApplyActivityOrLog()
    {
        try
        {
            ApplyActivity();
        }
        catch (Exception e)
        {
            Log($"a change of activity failed in the model: {e.GetType().Name}: {e.Message}");
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
