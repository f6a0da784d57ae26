namespace Penstock.Devices.Tests;

/// <summary>What is wrong on purpose, to show that it is found.</summary>
internal enum PowerCutLie
{
    /// <summary>Nothing.</summary>
    None,

    /// <summary>A flush says that it is done and does nothing.</summary>
    FlushDoesNothing,

    /// <summary>A flush leaves a sector out now and then.</summary>
    FlushForgetsSome,

    /// <summary>The host takes every completed write for durable, so the device would have to ignore its cache.</summary>
    HostTrustsWrites,

    /// <summary>The host takes writes that are still under way when it flushes for covered.</summary>
    HostTrustsFlushTooMuch,
}
