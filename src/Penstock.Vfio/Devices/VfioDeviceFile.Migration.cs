using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <content>Migration as typed calls.</content>
public partial class VfioDeviceFile
{
    /// <summary>What the device can do in a migration (feature 1).</summary>
    /// <returns>Its abilities.</returns>
    /// <exception cref="VfioException">ENOTTY: it does not migrate; EINVAL: closed.</exception>
    public MigrationFlags GetMigrationFlags() => RequireMigration("the migration").Flags;

    /// <summary>The migration state (feature 2).</summary>
    /// <returns>The state.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public MigrationState GetMigrationState() => RequireMigration("the migration state").GetState!();

    /// <summary>Moves the device to a migration state (feature 2).</summary>
    /// <param name="state">The state; the one that it has does nothing.</param>
    /// <returns>The file of data that begins with this state; null when none does. Dispose it.</returns>
    /// <exception cref="VfioException">
    /// EINVAL: no such state, or no way there; the device's errors, after which it is in the state that it reached or in ERROR.
    /// </exception>
    public MigrationDataFile? SetMigrationState(MigrationState state)
    {
        using (Enter("the migration state"))
        {
            return RequireMigration("the migration state").SetState!(state);
        }
    }

    /// <summary>About how many bytes the device would have to save if it were stopped now (feature 9).</summary>
    /// <returns>Bytes.</returns>
    /// <exception cref="VfioException">As <see cref="GetMigrationFlags"/>.</exception>
    public ulong GetMigrationDataSize() => RequireMigration("the size of migration data").GetDataSize!();

    /// <summary>Says that this user understands a state that begins anew while it is saved (feature 12).</summary>
    /// <exception cref="VfioException">EINVAL: the device has no PRE_COPY; as <see cref="GetMigrationFlags"/>.</exception>
    public void AllowMigrationRestarts()
    {
        MigrationOperations migration = RequireMigration("MIG_PRECOPY_INFOv2");
        if ((migration.Flags & MigrationFlags.PreCopy) == 0)
        {
            throw new VfioException(Errno.EINVAL, $"MIG_PRECOPY_INFOv2 of {Name}", "it has no PRE_COPY");
        }

        migration.AllowRestarts?.Invoke();
    }

    private MigrationOperations RequireMigration(string what)
    {
        ThrowIfClosed(what);
        return _device.Migration ?? throw new VfioException(Errno.ENOTTY, $"{what} of {Name}", "the device does not migrate");
    }
}
