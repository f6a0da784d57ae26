using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <summary>
/// Chooses the mode of each registration: the preferred one, or the VMM's own path for tables that it cannot follow or find, and while none
/// is preferred. The choice may change while nothing is registered. Calls come one at a time, but for <see cref="Preferred"/>.
/// </summary>
/// <param name="fallback">The VMM's path; becomes this object's.</param>
public sealed class NegotiatedRefresh(IRefreshMode fallback) : IRefreshMode
{
    private readonly Lock _gate = new();
    private IRefreshMode? _preferred;
    private IRefreshMode? _current;

    /// <inheritdoc/>
    public string Name => (Current ?? Preferred ?? fallback).Name;

    /// <summary>The mode of the registration; null while there is none.</summary>
    public IRefreshMode? Current => Volatile.Read(ref _current);

    /// <summary>What the next registration tries first; null for the VMM's path. It stays its owner's, and must be there while it is preferred or current.</summary>
    /// <exception cref="VfioException">EBUSY: something is registered; deregister first.</exception>
    public IRefreshMode? Preferred
    {
        get => Volatile.Read(ref _preferred);
        set
        {
            lock (_gate)
            {
                if (_current is not null)
                {
                    throw new VfioException(Errno.EBUSY, $"choosing {value?.Name ?? fallback.Name}", $"the guest's tables are registered with {_current.Name}");
                }

                Volatile.Write(ref _preferred, value);
            }
        }
    }

    /// <inheritdoc/>
    public Errno Register(IoatRegistration registration)
    {
        lock (_gate)
        {
            if (_current is not null)
            {
                return Errno.EBUSY;
            }

            IRefreshMode mode = _preferred ?? fallback;
            Errno errno = mode.Register(registration);
            if (errno is Errno.EOPNOTSUPP or Errno.EFAULT && mode != fallback)
            {
                mode = fallback;
                errno = mode.Register(registration);
            }

            Volatile.Write(ref _current, errno == Errno.None ? mode : null);
            return errno;
        }
    }

    /// <inheritdoc/>
    public void Deregister()
    {
        lock (_gate)
        {
            _current?.Deregister();
            Volatile.Write(ref _current, null);
        }
    }

    /// <inheritdoc/>
    public RpcitAnswer Refresh(ulong start, ulong length) => (Current ?? fallback).Refresh(start, length);

    /// <inheritdoc/>
    public void Dispose()
    {
        Deregister();
        fallback.Dispose();
    }
}
