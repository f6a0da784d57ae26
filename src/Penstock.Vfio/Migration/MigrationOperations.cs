using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>
/// What a driver gives to the core so that its device migrates. All three operations and at least STOP_COPY have to be there; it is
/// checked when the device is registered. Most drivers take <see cref="VfioMigration.Operations"/>.
/// </summary>
public sealed class MigrationOperations
{
    /// <summary>Abilities of the device.</summary>
    public MigrationFlags Flags { get; init; }

    /// <summary>
    /// Moves the device to a state; returns the file that the last hop began, or null. The states were not checked. May be called from
    /// any thread and waits for a call in progress.
    /// </summary>
    public Func<MigrationState, MigrationDataFile?>? SetState { get; init; }

    /// <summary>Tells the state.</summary>
    public Func<MigrationState>? GetState { get; init; }

    /// <summary>Tells how many bytes a stopped device would have to save, about.</summary>
    public Func<ulong>? GetDataSize { get; init; }

    /// <summary>The user understands that a device may begin its state anew while it is saved; null when the driver does not care.</summary>
    public Action? AllowRestarts { get; init; }

    internal void Check(string what)
    {
        if (SetState is null || GetState is null || GetDataSize is null)
        {
            throw new VfioException(Errno.EINVAL, what, "its migration needs SetState, GetState and GetDataSize");
        }

        if ((Flags & MigrationFlags.StopCopy) == 0)
        {
            throw new VfioException(Errno.EINVAL, what, "a device that migrates must have STOP_COPY");
        }
    }
}
