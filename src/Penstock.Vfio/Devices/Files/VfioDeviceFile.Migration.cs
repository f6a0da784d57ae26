using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>Migration as typed calls.</content>
public partial class VfioDeviceFile
{
    /// <summary>What the device can do in a migration (feature 1).</summary>
    /// <returns>Its abilities.</returns>
    /// <exception cref="VfioException">ENOTTY: it does not migrate; EINVAL: closed.</exception>
    public MigrationFlags GetMigrationFlags() => OnMigration("the migration", static m => m.Flags);

    /// <summary>The migration state (feature 2).</summary>
    /// <returns>The state.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public MigrationState GetMigrationState() => OnMigration("the migration state", static m => m.GetState!());

    /// <summary>Moves the device to a migration state (feature 2).</summary>
    /// <param name="state">The state; the one that it has does nothing.</param>
    /// <returns>The file of data that begins with this state; null when none does. Dispose it.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: no such state, or no way there; the device's errors, after which it is in the state that it reached or in ERROR.
    /// </exception>
    public MigrationDataFile? SetMigrationState(MigrationState state) =>
        OnMigration("the migration state", m => m.SetState!(state));

    /// <summary>About how many bytes the device would have to save if it were stopped now (feature 9).</summary>
    /// <returns>Bytes.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public ulong GetMigrationDataSize() => OnMigration("the size of migration data", static m => m.GetDataSize!());

    /// <summary>Says that this user understands a state that begins anew while it is saved (feature 12).</summary>
    /// <exception cref="VfioException">EINVAL: the device has no PRE_COPY; as <see cref="GetMigrationFlags"/>.</exception>
    public void AllowMigrationRestarts() => OnMigration("MIG_PRECOPY_INFOv2", m =>
    {
        if ((m.Flags & MigrationFlags.PreCopy) == 0)
        {
            throw new VfioException(Errno.EINVAL, $"MIG_PRECOPY_INFOv2 of {Name}", "it has no PRE_COPY");
        }

        m.AllowRestarts?.Invoke();
        return true;
    });

    /// <summary>As every control call these wake a device that sleeps.</summary>
    private T OnMigration<T>(string what, Func<MigrationOperations, T> call)
    {
        using (Enter(what))
        {
            return call(_device.Migration ?? throw new VfioException(Errno.ENOTTY, $"{what} of {Name}", "the device does not migrate"));
        }
    }
}
