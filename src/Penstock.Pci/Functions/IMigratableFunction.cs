using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Pci;

/// <summary>
/// A function whose state can be moved to another one of the same kind, while it works. It declares its state; configuration space and
/// interrupts are saved for it. While it is stopped no posted work starts, DMA from other threads waits or is refused with EBUSY, and
/// interrupts that it raises are kept until it runs again. See docs/migration.md.
/// </summary>
public interface IMigratableFunction : IPciFunction
{
    /// <summary>
    /// What its state is made of: everything that a user can see or that decides what it does next, work that is under way included.
    /// The same object every time.
    /// </summary>
    DeviceStateTable State { get; }

    /// <summary>What the function can do in a migration; normally all. None: as it was made it cannot be moved at all. Fixed.</summary>
    MigrationFlags MigrationFlags => MigrationFlags.All;

    /// <summary>
    /// The whole state has been set, over that after a reset; called on the strand, while stopped. Here the function posts again what
    /// the state says is under way, which then starts when it runs, and drives its interrupt pin.
    /// </summary>
    void StateLoaded();

    /// <summary>How much the function may do by itself has changed. Only functions with threads or timers of their own need it. On the strand.</summary>
    /// <param name="activity">How much.</param>
    void ActivityChanged(DeviceActivity activity)
    {
    }
}
