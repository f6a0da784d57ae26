using System.Collections.Concurrent;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>What parts above this one hang into the host.</content>
public sealed partial class VfioHost
{
    private readonly ConcurrentDictionary<Type, object> _slots = [];

    /// <summary>Joins interrupts of devices with virtual machines.</summary>
    public IrqBypass IrqBypass { get; } = new();

    /// <summary>Listens to eventfds that users gave for something else than being told.</summary>
    public EventWatcher Events { get; }

    /// <summary>The place for services of a kind; there is one for each kind.</summary>
    /// <typeparam name="T">The kind.</typeparam>
    /// <returns>The slot, maybe with nobody in it.</returns>
    public HookSlot<T> Slot<T>()
        where T : class => (HookSlot<T>)_slots.GetOrAdd(typeof(T), static _ => new HookSlot<T>());
}
