using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// What a device does for <see cref="VfioMigration"/>, which does the rest: states, hops, files. All members but
/// <see cref="EstimatedSize"/> are called one at a time. Whatever throws fails the hop.
/// </summary>
public interface IMigratableDevice
{
    /// <summary>Abilities; fixed.</summary>
    MigrationFlags Flags { get; }

    /// <summary>How many bytes a stopped device would have to save, about. May be called from any thread.</summary>
    ulong EstimatedSize { get; }

    /// <summary>Changes what the device does by itself. When it returns the device does no more than this; less is never an error.</summary>
    /// <param name="activity">How much it may do.</param>
    void SetActivity(DeviceActivity activity);

    /// <summary>Begins to save.</summary>
    /// <param name="stopped">Whether the device is stopped; otherwise it works on, and <see cref="MigrationSource.DeviceStopped"/> follows.</param>
    /// <returns>Where the state is read from.</returns>
    MigrationSource Save(bool stopped);

    /// <summary>Begins to load; the device is stopped.</summary>
    /// <returns>Where the state is written to.</returns>
    MigrationTarget Load();
}
