namespace Penstock.Interop;

/// <summary>An eventfd under watch. Disposing it ends the watch and closes the watch's descriptor. May be called from any thread.</summary>
public sealed class EventWatch : IDisposable
{
    private readonly EventWatcher _watcher;
    private readonly Action<ulong> _handler;
    private int _disposed;

    internal EventWatch(EventWatcher watcher, EventDescriptor events, Action<ulong> handler, ulong tag)
    {
        _watcher = watcher;
        Events = events;
        _handler = handler;
        Tag = tag;
    }

    internal EventDescriptor Events { get; }

    internal ulong Tag { get; }

    /// <summary>
    /// Ends the watch. When this returns the handler does not run and will not run again, unless it is the handler itself that calls. Do
    /// not hold a lock that the handler takes.
    /// </summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _watcher.End(this);
            Events.Dispose();
        }
    }

    internal void Run()
    {
        if (Events.TryDrain(out ulong count))
        {
            _handler(count);
        }
    }
}
