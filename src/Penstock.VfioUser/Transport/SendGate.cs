namespace Penstock.VfioUser;

/// <summary>
/// Lets one thread at a time send, and holds back everybody else while a register access waits for its reply. Entering a free gate is one
/// compare-and-swap; only threads that find it taken wait on a semaphore.
/// </summary>
internal sealed class SendGate : IDisposable
{
    private const int Free = 0;
    private const int Held = 1;
    private const int HeldWithWaiters = 2;

    private readonly SemaphoreSlim _wake = new(0);
    private int _state;

    public void Enter()
    {
        if (Interlocked.CompareExchange(ref _state, Held, Free) != Free)
        {
            EnterSlowly();
        }
    }

    /// <summary>Enters if nobody is there.</summary>
    public bool TryEnter() => Interlocked.CompareExchange(ref _state, Held, Free) == Free;

    /// <summary>Enters, but waits no longer than this.</summary>
    /// <returns>False when the time was up.</returns>
    public bool Enter(TimeSpan time)
    {
        if (TryEnter())
        {
            return true;
        }

        long deadline = Environment.TickCount64 + (long)time.TotalMilliseconds;
        while (Interlocked.Exchange(ref _state, HeldWithWaiters) != Free)
        {
            // Whoever gives up leaves "with waiters" behind; the wake-up that this costs finds nobody and does no harm.
            long left = deadline - Environment.TickCount64;
            if (left <= 0 || !_wake.Wait((int)Math.Min(left, int.MaxValue)))
            {
                return false;
            }
        }

        return true;
    }

    public void Exit()
    {
        if (Interlocked.Exchange(ref _state, Free) == HeldWithWaiters)
        {
            _wake.Release();
        }
    }

    public void Dispose() => _wake.Dispose();

    private void EnterSlowly()
    {
        // As in a futex mutex: whoever has waited takes the gate as "with waiters", because others may wait too.
        while (Interlocked.Exchange(ref _state, HeldWithWaiters) != Free)
        {
            _wake.Wait();
        }
    }
}
