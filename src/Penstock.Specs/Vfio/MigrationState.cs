namespace Penstock.Specs.Vfio;

/// <summary>Migration states of a device, <c>vfio_device_mig_state</c> of linux/vfio.h.</summary>
public enum MigrationState : uint
{
    /// <summary>Something failed; only a reset leads out.</summary>
    Error = 0,

    /// <summary>No DMA, no interrupts, no change.</summary>
    Stop = 1,

    /// <summary>Normal work.</summary>
    Running = 2,

    /// <summary>Stopped; the state can be read.</summary>
    StopCopy = 3,

    /// <summary>Stopped; a state is being written.</summary>
    Resuming = 4,

    /// <summary>Answers accesses, starts nothing towards other devices.</summary>
    RunningP2P = 5,

    /// <summary>Normal work, while part of the state can be read already.</summary>
    PreCopy = 6,

    /// <summary>As <see cref="RunningP2P"/>, while part of the state can be read already.</summary>
    PreCopyP2P = 7,
}
