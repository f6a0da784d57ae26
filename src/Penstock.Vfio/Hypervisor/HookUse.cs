namespace Penstock.Vfio;

/// <summary>A use of the services in a <see cref="HookSlot{T}"/>, which keeps them there. May be disposed from any thread.</summary>
/// <typeparam name="T">The services.</typeparam>
public sealed class HookUse<T> : IDisposable
    where T : class
{
    private readonly InstalledHook<T> _hook;
    private int _ended;

    internal HookUse(InstalledHook<T> hook) => _hook = hook;

    /// <summary>The services.</summary>
    public T Hook => _hook.Hook;

    /// <summary>Ends the use.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            _hook.End();
        }
    }
}
