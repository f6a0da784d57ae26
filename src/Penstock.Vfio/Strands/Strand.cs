using System.Runtime.CompilerServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>
/// The one line of execution of a function: register calls run on it on the caller's thread, posted work on a thread of its own,
/// never two at a time. Register calls go before posted work. All members may be called from any thread.
/// </summary>
public sealed partial class Strand : IDisposable
{
    private const int SpinRounds = 16;
    private const int SpinsPerRound = 32;

    private readonly object _gate = new();
    private readonly ResourceLedger? _ledger;
    private readonly Action<string>? _log;
    private bool _stopping;
    private bool _inRegisterCall;
    private volatile bool _frozen;
    private int _owner;
    private int _waiters;
    private int _callers;

    /// <summary>Creates the strand; its thread starts with the first posted work.</summary>
    /// <param name="name">Name of the thread, for people.</param>
    /// <param name="ledger">Where the thread is counted, if anywhere.</param>
    /// <param name="log">Receives a line when posted work throws.</param>
    public Strand(string name, ResourceLedger? ledger = null, Action<string>? log = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        Name = name;
        _ledger = ledger;
        _log = LogSink.Contain(log);
    }

    /// <summary>Name of the strand and its thread.</summary>
    public string Name { get; }

    /// <summary>Whether the calling thread is on the strand, in a register call or in posted work.</summary>
    public bool IsCurrent => Volatile.Read(ref _owner) == Environment.CurrentManagedThreadId;

    /// <summary>Whether the calling thread is on the strand in a register call.</summary>
    public bool InRegisterCall => IsCurrent && _inRegisterCall;

    /// <summary>
    /// Enters the strand for a register call; waits while other calls or work are on it. Without contention this is one compare-and-swap.
    /// A thread that is on the strand already just goes on.
    /// </summary>
    /// <returns>The scope; dispose it on the same thread.</returns>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public StrandScope EnterRegisterCall()
    {
        int me = Environment.CurrentManagedThreadId;
        if (Interlocked.CompareExchange(ref _owner, me, 0) != 0 && !EnterContended(me))
        {
            return default;
        }

        _inRegisterCall = true;
        return new StrandScope(this);
    }

    /// <summary>Runs work on the strand on the calling thread, for callers from outside who change the function's state.</summary>
    /// <param name="work">The work; what it throws reaches the caller.</param>
    public void RunOn(Action work)
    {
        ArgumentNullException.ThrowIfNull(work);
        int me = Environment.CurrentManagedThreadId;
        bool entered = Interlocked.CompareExchange(ref _owner, me, 0) == 0 || EnterContended(me);
        try
        {
            work();
        }
        finally
        {
            if (entered)
            {
                Leave();
            }
        }
    }

    /// <summary>
    /// Keeps posted work from starting, and work that has given the strand free for a wait from going on, until <see cref="Thaw"/>.
    /// Returns when no posted work is running. Register calls and <see cref="RunOn"/> go on. Freezing twice is as once.
    /// </summary>
    public void Freeze()
    {
        lock (_gate)
        {
            _frozen = true;
        }

        // Whatever was on the strand has left it, or has seen the freeze, once this thread was on it.
        RunOn(static () => { });
    }

    /// <summary>Ends <see cref="Freeze"/>.</summary>
    public void Thaw()
    {
        lock (_gate)
        {
            _frozen = false;
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>
    /// Stops the thread after the work it is in; work that has not started is dropped. On the strand's own thread and in a register
    /// call it does not wait.
    /// </summary>
    public void Dispose()
    {
        Thread? worker;
        lock (_gate)
        {
            _stopping = true;
            _frozen = false;
            Array.Clear(_queue);
            _queued = 0;
            worker = _worker;
            Monitor.PulseAll(_gate);
        }

        if (worker is not null && worker != Thread.CurrentThread && !InRegisterCall)
        {
            // A caller that is on the strand would keep the worker's last work from coming back to it.
            bool paused = TryPause();
            worker.Join();
            if (paused)
            {
                Resume();
            }
        }
    }

    internal void LeaveRegisterCall()
    {
        _inRegisterCall = false;
        Leave();
    }

    /// <summary>Gives the strand free for a wait, if the calling thread is on it; then <see cref="Resume"/> must follow.</summary>
    internal bool TryPause()
    {
        if (!IsCurrent || _inRegisterCall)
        {
            return false;
        }

        Leave();
        return true;
    }

    internal void Resume()
    {
        int me = Environment.CurrentManagedThreadId;
        while (true)
        {
            if (Interlocked.CompareExchange(ref _owner, me, 0) != 0)
            {
                EnterContended(me);
            }

            if (!_frozen)
            {
                return;
            }

            Leave();
            lock (_gate)
            {
                while (_frozen && !_stopping)
                {
                    _idle?.Invoke();
                    Monitor.Wait(_gate);
                }
            }
        }
    }

    private void Leave()
    {
        // The exchange is also the fence between giving free and looking for waiters.
        Interlocked.Exchange(ref _owner, 0);
        if (Volatile.Read(ref _waiters) != 0)
        {
            Wake();
        }
    }

    private void Wake()
    {
        lock (_gate)
        {
            Monitor.PulseAll(_gate);
        }
    }

    /// <summary>False when the calling thread is on the strand already.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    private bool EnterContended(int me)
    {
        if (Volatile.Read(ref _owner) == me)
        {
            return false;
        }

        for (int i = 0; i < SpinRounds; i++)
        {
            Thread.SpinWait(SpinsPerRound);
            if (Volatile.Read(ref _owner) == 0 && Interlocked.CompareExchange(ref _owner, me, 0) == 0)
            {
                return true;
            }
        }

        lock (_gate)
        {
            _callers++;
            Interlocked.Increment(ref _waiters);
            while (Interlocked.CompareExchange(ref _owner, me, 0) != 0)
            {
                Monitor.Wait(_gate);
            }

            Interlocked.Decrement(ref _waiters);
            _callers--;
        }

        return true;
    }
}
