namespace Penstock.Specs.Vfio;

/// <summary>Migration abilities of a device, <c>VFIO_MIGRATION_*</c> of linux/vfio.h.</summary>
[Flags]
public enum MigrationFlags : ulong
{
    /// <summary>None.</summary>
    None = 0,

    /// <summary>The states STOP, RUNNING, STOP_COPY and RESUMING; every device that migrates has them.</summary>
    StopCopy = 1,

    /// <summary>The state RUNNING_P2P.</summary>
    P2P = 2,

    /// <summary>The state PRE_COPY; with <see cref="P2P"/> also PRE_COPY_P2P.</summary>
    PreCopy = 4,

    /// <summary>All of them.</summary>
    All = StopCopy | P2P | PreCopy,
}
