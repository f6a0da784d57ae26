using Penstock.Interop;

namespace Penstock.Vfio;

/// <content>Posted work and the thread that runs it.</content>
public sealed partial class Strand
{
    private const int AnyProcessor = -1;

    private object?[] _queue = new object?[16];
    private Thread? _worker;
    private Action? _idle;
    private volatile bool _working;
    private volatile int _processor = AnyProcessor;
    private int _holds;
    private int _head;
    private int _queued;

    /// <summary>Whether the calling thread is the one that runs posted work, also while that has given the strand free for a wait.</summary>
    public bool IsWorker => Thread.CurrentThread == _worker;

    /// <summary>Whether posted work is running, or is going to without anybody doing anything more.</summary>
    public bool IsWorking
    {
        get
        {
            // The queue before the work: what the thread takes in between counts as running before it is no longer queued.
            bool queued = Volatile.Read(ref _queued) != 0 && Volatile.Read(ref _holds) == 0;
            return !_frozen && (queued || _working);
        }
    }

    /// <summary>Binds the thread that runs posted work to a processor, from the next work on.</summary>
    /// <param name="processor">Number of a processor that the process may use, from 0.</param>
    public void Place(int processor)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(processor);
        _processor = processor;
    }

    /// <summary>Queues work for the strand's thread. After <see cref="Dispose"/> it is dropped.</summary>
    /// <param name="work">The work; what it throws is logged.</param>
    public void Post(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        Enqueue(work);
    }

    /// <summary>
    /// Queues work that goes on after it has waited for something. Only what runs before the first wait is on the strand; post again to
    /// come back to it.
    /// </summary>
    /// <param name="work">The work; what it throws is logged, also later.</param>
    public void Post(Func<Task> work)
    {
        ArgumentNullException.ThrowIfNull(work);
        Enqueue((Action)(() => _ = LogFault(work())));
    }

    /// <summary>As <see cref="Post(Action)"/>; allocates nothing once the queue has grown.</summary>
    /// <param name="work">The work.</param>
    public void Post(IStrandWork work)
    {
        ArgumentNullException.ThrowIfNull(work);
        Enqueue(work);
    }

    /// <summary>
    /// Keeps posted work from starting until <see cref="ReleasePosted"/>, so that a reply can go out first. Holds are counted.
    /// </summary>
    public void HoldPosted() => Interlocked.Increment(ref _holds);

    /// <summary>Ends one <see cref="HoldPosted"/>.</summary>
    public void ReleasePosted()
    {
        if (Interlocked.Decrement(ref _holds) == 0 && Volatile.Read(ref _queued) != 0)
        {
            Wake();
        }
    }

    /// <summary>
    /// Asks to be told, on the strand's thread, whenever posted work has come to a stop: no more of it is there, or it may not go on.
    /// One can ask at a time; another one takes its place.
    /// </summary>
    /// <param name="idle">Must return soon, throw nothing and leave the strand alone.</param>
    public void WatchIdle(Action idle)
    {
        ArgumentNullException.ThrowIfNull(idle);
        lock (_gate)
        {
            _idle = idle;
        }
    }

    /// <summary>Ends <see cref="WatchIdle"/>; when this returns nobody is being told.</summary>
    /// <param name="idle">What was given there; nothing happens when another one has taken its place.</param>
    public void UnwatchIdle(Action idle)
    {
        lock (_gate)
        {
            _idle = _idle == idle ? null : _idle;
        }
    }

    private void Enqueue(object work)
    {
        lock (_gate)
        {
            if (_stopping)
            {
                return;
            }

            if (_queued == _queue.Length)
            {
                object?[] larger = new object?[_queue.Length * 2];
                for (int i = 0; i < _queued; i++)
                {
                    larger[i] = _queue[(_head + i) % _queue.Length];
                }

                _queue = larger;
                _head = 0;
            }

            _queue[(_head + _queued) % _queue.Length] = work;
            _queued++;
            if (_worker is null)
            {
                _worker = new Thread(Work) { IsBackground = true, Name = Name };
                _worker.Start();
                _ledger?.Acquired(ResourceKind.Thread);
            }
            else
            {
                Monitor.PulseAll(_gate);
            }
        }
    }

    private async Task LogFault(Task work)
    {
        try
        {
            await work.ConfigureAwait(false);
        }
        catch (Exception e)
        {
            _log?.Invoke($"{Name}: posted work failed and was abandoned: {e}");
        }
    }

    private void Work()
    {
        try
        {
            int placed = AnyProcessor;
            while (Take() is { } work)
            {
                try
                {
                    if (_processor != placed)
                    {
                        placed = _processor;
                        ProcessPlacement.PinCurrentThread(placed);
                    }

                    if (work is Action action)
                    {
                        action();
                    }
                    else
                    {
                        ((IStrandWork)work).Run();
                    }
                }
                catch (Exception e)
                {
                    _log?.Invoke($"{Name}: posted work failed and was abandoned: {e}");
                }
                finally
                {
                    Leave();
                }
            }
        }
        finally
        {
            _ledger?.Released(ResourceKind.Thread);
        }
    }

    /// <summary>Waits for work and for the strand; null when it stops. The caller is on the strand afterwards.</summary>
    private object? Take()
    {
        int me = Environment.CurrentManagedThreadId;
        lock (_gate)
        {
            while (!_stopping)
            {
                if (_queued == 0 || _frozen || Volatile.Read(ref _holds) != 0)
                {
                    _working = false;
                    _idle?.Invoke();
                    Monitor.Wait(_gate);
                    continue;
                }

                Interlocked.Increment(ref _waiters);
                bool entered = _callers == 0 && Interlocked.CompareExchange(ref _owner, me, 0) == 0;
                if (!entered)
                {
                    Monitor.Wait(_gate);
                }

                Interlocked.Decrement(ref _waiters);
                if (entered)
                {
                    object work = _queue[_head]!;
                    _queue[_head] = null;
                    _head = (_head + 1) % _queue.Length;
                    _working = true;
                    Volatile.Write(ref _queued, _queued - 1);
                    return work;
                }
            }

            _working = false;
            _idle?.Invoke();
            return null;
        }
    }
}
