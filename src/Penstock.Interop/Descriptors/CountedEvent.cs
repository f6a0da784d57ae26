namespace Penstock.Interop;

/// <summary>
/// An eventfd with a count of the threads that use it at this moment: whoever leaves last after retirement closes it, so its number is never
/// another file's while somebody writes to it. No lock is held meanwhile. All members may be called from any thread.
/// </summary>
/// <param name="events">The eventfd; this object becomes its owner.</param>
public sealed class CountedEvent(EventDescriptor events)
{
    private const int Retired = 1 << 30;
    // Far longer than a busy machine keeps a thread in the middle of a signal: only a peer's blocking counter lasts so long.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);
    private int _state;

    /// <summary>The eventfd. Only between <see cref="TryEnter"/> and <see cref="Leave"/>, or before retirement, is it open for sure.</summary>
    public EventDescriptor Events => events;

    /// <summary>Begins a use; after true the caller must call <see cref="Leave"/>.</summary>
    /// <returns>Whether it is not retired.</returns>
    public bool TryEnter()
    {
        if ((Interlocked.Increment(ref _state) & Retired) == 0)
        {
            return true;
        }

        Leave();
        return false;
    }

    /// <summary>Ends a use.</summary>
    public void Leave()
    {
        if (Interlocked.Decrement(ref _state) == Retired)
        {
            Close();
        }
    }

    /// <summary>Signals it unless it is retired. A signal that cannot be taken is nobody's fault here.</summary>
    /// <returns>Whether it was tried.</returns>
    public bool TrySignal()
    {
        if (!TryEnter())
        {
            return false;
        }

        try
        {
            _ = events.Signal();
        }
        finally
        {
            Leave();
        }

        return true;
    }

    /// <summary>
    /// No use begins after this. It waits for running ones, but not for ever: a peer may have made its counter blocking, and must then only
    /// lose its own interrupt. To be called once.
    /// </summary>
    public void Retire()
    {
        if (Interlocked.Add(ref _state, Retired) == Retired)
        {
            Close();
            return;
        }

        SpinWait.SpinUntil(() => Volatile.Read(ref _state) == Retired, Patience);
    }

    /// <summary>Waits for running uses, as <see cref="Retire"/>; others may begin.</summary>
    public void WaitUntilLeft()
    {
        if (Interlocked.Add(ref _state, 0) != 0)
        {
            SpinWait.SpinUntil(() => Volatile.Read(ref _state) == 0, Patience);
        }
    }

    // Late entrants count up and down again after the end: disposing twice does nothing.
    private void Close() => events.Dispose();
}
