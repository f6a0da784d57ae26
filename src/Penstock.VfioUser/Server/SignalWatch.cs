using Penstock.Interop;

namespace Penstock.VfioUser;

/// <summary>
/// A peer shares the flags of the eventfds that it gave: it can make one blocking again and fill its counter at the moment of a signal, and
/// whoever signals then waits inside the kernel with the function's strand. This watch looks at a session once in a while; one that has been
/// inside the same step since the last look gets all its client's counters emptied, which sets any such thread free.
/// </summary>
internal sealed class SignalWatch : IDisposable
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    private readonly Dictionary<(uint Index, uint Vector), EventDescriptor> _events = [];
    private readonly Lock _gate = new();
    private Timer? _timer;
    private long _step;
    private long _seen;
    private bool _disposed;

    /// <summary>How many eventfds are kept; at most one for each vector of the device.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
            {
                return _events.Count;
            }
        }
    }

    /// <summary>The session starts a step; it is inside until <see cref="Leave"/>. Plain stores, for the session's thread.</summary>
    public void Enter() => Volatile.Write(ref _step, _step + 1);

    /// <summary>The session waits for its client again.</summary>
    public void Leave() => Volatile.Write(ref _step, _step + 1);

    /// <summary>A vector has a new eventfd. Ones that were taken away stay known until the session ends: they may be in use just now.</summary>
    /// <param name="index">Interrupt index.</param>
    /// <param name="vector">Vector.</param>
    /// <param name="given">The client's eventfd; stays the caller's.</param>
    public void Remember(uint index, uint vector, EventDescriptor given)
    {
        EventDescriptor own = given.Duplicate();
        lock (_gate)
        {
            if (_events.Remove((index, vector), out EventDescriptor? before))
            {
                before.Dispose();
            }

            _events.Add((index, vector), own);
            _timer ??= new Timer(static watch => ((SignalWatch)watch!).Look(), this, Interval, Interval);
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _disposed = true;
            _timer?.Dispose();
            foreach (EventDescriptor known in _events.Values)
            {
                known.Dispose();
            }

            _events.Clear();
        }
    }

    private void Look()
    {
        long step = Volatile.Read(ref _step);
        if ((step & 1) == 0 || Interlocked.Exchange(ref _seen, step) != step)
        {
            return;
        }

        lock (_gate)
        {
            if (_disposed)
            {
                return;
            }

            foreach (EventDescriptor known in _events.Values)
            {
                known.SetFree();
            }
        }
    }
}
