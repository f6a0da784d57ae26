using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// A place where a part that may be absent offers its services to parts that must not depend on it. It belongs to a
/// <see cref="VfioHost"/>. All members may be called from any thread.
/// </summary>
/// <typeparam name="T">The services.</typeparam>
public sealed class HookSlot<T>
    where T : class
{
    private readonly Lock _gate = new();
    private InstalledHook<T>? _installed;

    internal HookSlot()
    {
    }

    /// <summary>Whether somebody is installed.</summary>
    public bool IsInstalled
    {
        get
        {
            lock (_gate)
            {
                return _installed is not null;
            }
        }
    }

    /// <summary>Installs the services.</summary>
    /// <param name="hook">Who offers them.</param>
    /// <returns>The registration; disposing it takes them away.</returns>
    /// <exception cref="VfioException">EBUSY: others are installed.</exception>
    public HookRegistration<T> Install(T hook)
    {
        ArgumentNullException.ThrowIfNull(hook);
        lock (_gate)
        {
            if (_installed is not null)
            {
                throw new VfioException(Errno.EBUSY, $"installing {typeof(T).Name}", "another one is installed; remove it first");
            }

            _installed = new InstalledHook<T>(hook);
            return new HookRegistration<T>(this, _installed);
        }
    }

    /// <summary>Begins to use the services.</summary>
    /// <returns>The use, to be disposed when it ends; null when nobody is installed.</returns>
    public HookUse<T>? TryUse()
    {
        lock (_gate)
        {
            if (_installed is null)
            {
                return null;
            }

            _installed.Begin();
            return new HookUse<T>(_installed);
        }
    }

    /// <summary>Takes services out of the slot; those in use stay when only unused ones may go.</summary>
    internal bool TryWithdraw(InstalledHook<T> hook, bool evenIfUsed)
    {
        lock (_gate)
        {
            if (hook.IsWithdrawn)
            {
                return true;
            }

            if (hook.Uses != 0 && !evenIfUsed)
            {
                return false;
            }

            hook.IsWithdrawn = true;
            _installed = null;
        }

        hook.End();
        return true;
    }
}
