using Penstock.Specs.Vfio;

namespace Penstock.Vfio;

/// <summary>The way from one migration state to another (linux/vfio.h, <c>vfio_device_mig_state</c>). Has no state of its own.</summary>
public static class MigrationStateMachine
{
    private const int StateCount = (int)MigrationState.PreCopyP2P + 1;

    /// <summary>Whether a device with some abilities has a state; ERROR is never one that can be asked for.</summary>
    /// <param name="state">Any number.</param>
    /// <param name="flags">The device's abilities.</param>
    /// <returns>Whether it can be asked for, and left by asking for another one.</returns>
    public static bool IsSupported(MigrationState state, MigrationFlags flags) =>
        Needed(state) is { } needed && (flags & needed) == needed;

    /// <summary>Whether data can be read in a state.</summary>
    /// <param name="state">The state.</param>
    /// <returns>True for STOP_COPY, PRE_COPY and PRE_COPY_P2P.</returns>
    public static bool IsSaving(MigrationState state) =>
        state is MigrationState.StopCopy or MigrationState.PreCopy or MigrationState.PreCopyP2P;

    /// <summary>What a device does in a state.</summary>
    /// <param name="state">The state.</param>
    /// <returns>How active it is; stopped in ERROR.</returns>
    public static DeviceActivity ActivityIn(MigrationState state) => state switch
    {
        MigrationState.Running or MigrationState.PreCopy => DeviceActivity.Running,
        MigrationState.RunningP2P or MigrationState.PreCopyP2P => DeviceActivity.Responding,
        _ => DeviceActivity.Stopped,
    };

    /// <summary>Finds the next hop. States that the device does not have are passed over.</summary>
    /// <param name="from">Where the device is.</param>
    /// <param name="to">Where it shall come.</param>
    /// <param name="flags">Its abilities.</param>
    /// <param name="hop">The next state; <paramref name="to"/> itself when the device is there.</param>
    /// <returns>False when either state is ERROR, unknown or not supported, or when no way leads there.</returns>
    public static bool TryNext(MigrationState from, MigrationState to, MigrationFlags flags, out MigrationState hop)
    {
        hop = from;
        if (!IsSupported(from, flags) || !IsSupported(to, flags))
        {
            return false;
        }

        do
        {
            hop = Hop(hop, to);
        }
        while (hop != MigrationState.Error && !IsSupported(hop, flags));

        return hop != MigrationState.Error;
    }

    private static MigrationFlags? Needed(MigrationState state) => state switch
    {
        MigrationState.Stop or MigrationState.Running or MigrationState.StopCopy or MigrationState.Resuming => MigrationFlags.StopCopy,
        MigrationState.RunningP2P => MigrationFlags.StopCopy | MigrationFlags.P2P,
        MigrationState.PreCopy => MigrationFlags.StopCopy | MigrationFlags.PreCopy,
        MigrationState.PreCopyP2P => MigrationFlags.All,
        _ => null,
    };

    /// <summary>The table. Its rows and columns are in the order of the states' numbers, ERROR first.</summary>
    private static MigrationState Hop(MigrationState from, MigrationState to)
    {
        const byte E = (byte)MigrationState.Error;
        const byte S = (byte)MigrationState.Stop;
        const byte R = (byte)MigrationState.Running;
        const byte C = (byte)MigrationState.StopCopy;
        const byte L = (byte)MigrationState.Resuming;
        const byte Q = (byte)MigrationState.RunningP2P;
        const byte P = (byte)MigrationState.PreCopy;
        const byte T = (byte)MigrationState.PreCopyP2P;
        ReadOnlySpan<byte> table =
        [
            E, E, E, E, E, E, E, E, // from ERROR
            E, S, Q, C, L, Q, Q, Q, // from STOP
            E, Q, R, Q, Q, Q, P, Q, // from RUNNING
            E, S, S, C, S, S, E, E, // from STOP_COPY
            E, S, S, S, L, S, S, S, // from RESUMING
            E, S, R, S, S, Q, R, T, // from RUNNING_P2P
            E, R, R, T, R, R, P, T, // from PRE_COPY
            E, Q, Q, C, Q, Q, P, T, // from PRE_COPY_P2P
        ];
        return (MigrationState)table[((int)from * StateCount) + (int)to];
    }
}
