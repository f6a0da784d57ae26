using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>Services in a <see cref="HookSlot{T}"/>. All members may be called from any thread.</summary>
/// <typeparam name="T">The services.</typeparam>
public sealed class HookRegistration<T> : IDisposable
    where T : class
{
    private readonly HookSlot<T> _slot;
    private readonly InstalledHook<T> _hook;

    internal HookRegistration(HookSlot<T> slot, InstalledHook<T> hook)
    {
        _slot = slot;
        _hook = hook;
    }

    /// <summary>How many use the services.</summary>
    public int Uses => _hook.Uses;

    /// <summary>Ends when the services were taken away and nobody uses them any more.</summary>
    public Task Drained => _hook.Drained;

    /// <summary>Takes the services away, if nobody uses them.</summary>
    /// <exception cref="VfioException">EBUSY: they are in use, and stay.</exception>
    public void Remove()
    {
        if (!_slot.TryWithdraw(_hook, evenIfUsed: false))
        {
            throw new VfioException(Errno.EBUSY, $"removing {typeof(T).Name}", $"{Uses} devices are registered with it; close them first");
        }
    }

    /// <summary>
    /// Takes the services away: nobody begins to use them, and who does already goes on to the end, which <see cref="Drained"/> tells. Does
    /// not wait.
    /// </summary>
    public void Dispose() => _slot.TryWithdraw(_hook, evenIfUsed: true);
}
