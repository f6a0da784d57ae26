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
