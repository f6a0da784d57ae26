namespace Penstock.Interop;

/// <summary>How many descriptors that users have of one eventfd are open, and who wants to know when none is.</summary>
internal sealed class EventLife
{
    private readonly Lock _gate = new();
    private readonly List<Listener> _watches = [];
    private int _open;
    private bool _closed;

    public void Add()
    {
        lock (_gate)
        {
            _open++;
        }
    }

    public void Remove()
    {
        Listener[] due;
        lock (_gate)
        {
            if (--_open != 0)
            {
                return;
            }

            _closed = true;
            due = [.. _watches];
            _watches.Clear();
        }

        foreach (Listener watch in due)
        {
            watch.Handler();
        }
    }

    public IDisposable Watch(Action handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        var watch = new Listener(this, handler);
        lock (_gate)
        {
            if (!_closed)
            {
                _watches.Add(watch);
                return watch;
            }
        }

        handler();
        return watch;
    }

    private sealed class Listener(EventLife life, Action handler) : IDisposable
    {
        public Action Handler { get; } = handler;

        public void Dispose()
        {
            lock (life._gate)
            {
                life._watches.Remove(this);
            }
        }
    }
}
