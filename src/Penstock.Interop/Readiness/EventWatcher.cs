namespace Penstock.Interop;

/// <summary>
/// Calls a handler whenever an eventfd is signalled, on one thread for all of them. The thread is there while there is something to watch.
/// All members may be called from any thread.
/// </summary>
public sealed class EventWatcher
{
    private const int Batch = 16;

    private readonly object _gate = new();
    private readonly Dictionary<ulong, EventWatch> _watches = [];
    private readonly string _name;
    private readonly ResourceLedger? _ledger;
    private readonly Action<string>? _log;
    private Worker? _worker;
    private EventWatch? _running;
    private int _runner;
    private ulong _lastTag = Worker.WakeTag;

    /// <summary>Creates a watcher without a thread.</summary>
    /// <param name="name">Name of its thread, for people.</param>
    /// <param name="ledger">Where descriptors and the thread are counted, if anywhere.</param>
    /// <param name="log">Receives a line when a handler throws.</param>
    public EventWatcher(string name, ResourceLedger? ledger = null, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        _name = name;
        _ledger = ledger;
        _log = LogSink.Contain(log);
    }

    /// <summary>Watches an eventfd. One that was signalled before is handled at once.</summary>
    /// <param name="events">The eventfd; the watch becomes its owner, and drains it.</param>
    /// <param name="handler">Receives the count that was drained. It should not wait: all watches share the thread.</param>
    /// <returns>The watch.</returns>
    /// <exception cref="SystemCallException">The process has no descriptor left; the eventfd stays the caller's.</exception>
    public EventWatch Watch(EventDescriptor events, Action<ulong> handler)
    {
        ArgumentNullException.ThrowIfNull(events);
        ArgumentNullException.ThrowIfNull(handler);
        Worker? idle = null;
        try
        {
            lock (_gate)
            {
                var watch = new EventWatch(this, events, handler, ++_lastTag);
                _worker ??= new Worker(this);
                _watches.Add(watch.Tag, watch);
                try
                {
                    _worker.Set.Add(events.Descriptor.Value, PollEvents.In, watch.Tag);
                }
                catch
                {
                    _watches.Remove(watch.Tag);
                    idle = TakeIdle();
                    throw;
                }

                return watch;
            }
        }
        finally
        {
            idle?.Stop();
        }
    }

    internal void End(EventWatch watch)
    {
        Worker? idle;
        lock (_gate)
        {
            _watches.Remove(watch.Tag);
            _worker!.Set.Remove(watch.Events.Descriptor.Value);
            idle = TakeIdle();
            while (_running == watch && _runner != Environment.CurrentManagedThreadId)
            {
                Monitor.Wait(_gate);
            }
        }

        idle?.Stop();
    }

    private Worker? TakeIdle()
    {
        if (_watches.Count != 0)
        {
            return null;
        }

        Worker? idle = _worker;
        _worker = null;
        return idle;
    }

    private void Run(ulong tag)
    {
        EventWatch? watch;
        lock (_gate)
        {
            // Ended between the wait and now; its tag is never used again.
            if (!_watches.TryGetValue(tag, out watch))
            {
                return;
            }

            _running = watch;
            _runner = Environment.CurrentManagedThreadId;
        }

        try
        {
            watch.Run();
        }
        catch (Exception e)
        {
            _log?.Invoke($"{_name}: a handler failed: {e}");
        }
        finally
        {
            lock (_gate)
            {
                // A handler that ended the last watch may still run when a new thread runs the next one.
                if (_running == watch)
                {
                    _running = null;
                }

                Monitor.PulseAll(_gate);
            }
        }
    }

    private sealed class Worker
    {
        public const ulong WakeTag = 0;

        private readonly EventWatcher _owner;
        private readonly EventDescriptor _wake;
        private readonly Thread _thread;
        private volatile bool _stopping;

        public Worker(EventWatcher owner)
        {
            _owner = owner;
            Set = new ReadinessSet(owner._ledger);
            try
            {
                _wake = EventDescriptor.Create(owner._ledger);
            }
            catch
            {
                Set.Dispose();
                throw;
            }

            Set.Add(_wake.Descriptor.Value, PollEvents.In, WakeTag);
            owner._ledger?.Acquired(ResourceKind.Thread);
            _thread = new Thread(Loop) { IsBackground = true, Name = owner._name };
            _thread.Start();
        }

        public ReadinessSet Set { get; }

        /// <summary>Ends the thread, which has nothing to watch any more, and waits for that unless it is the caller.</summary>
        public void Stop()
        {
            _stopping = true;
            _wake.Signal();
            if (_thread != Thread.CurrentThread)
            {
                _thread.Join();
            }
        }

        private void Loop()
        {
            try
            {
                Serve();
            }
            catch (Exception e)
            {
                _owner._log?.Invoke($"{_owner._name}: the thread ends, eventfds are not served any more: {e}");
            }

            Set.Dispose();
            _wake.Dispose();
            _owner._ledger?.Released(ResourceKind.Thread);
        }

        private void Serve()
        {
            Span<(ulong Tag, PollEvents Events)> ready = stackalloc (ulong, PollEvents)[Batch];
            while (!_stopping)
            {
                int count = Set.Wait(ready, Timeout.InfiniteTimeSpan);
                for (int i = 0; i < count && !_stopping; i++)
                {
                    if (ready[i].Tag != WakeTag)
                    {
                        _owner.Run(ready[i].Tag);
                    }
                }
            }
        }
    }
}
