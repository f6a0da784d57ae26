namespace Penstock.S390;

/// <summary>
/// Lets deliveries through until it is closed, and makes the closer wait for those that are under way. Entering takes no lock, waits for nobody
/// and allocates nothing. All members may be called from any thread; who is inside must not close.
/// </summary>
public sealed class DeliveryGate
{
    private const int Closed = int.MinValue;

    private int _state;

    /// <summary>Whether nobody gets in any more.</summary>
    public bool IsClosed => Volatile.Read(ref _state) < 0;

    /// <summary>Enters, unless it is closed.</summary>
    /// <returns>True: leave again with <see cref="Leave"/>, soon.</returns>
    public bool TryEnter()
    {
        // Looked at first: whoever comes again and again must not keep the closer waiting.
        if (Volatile.Read(ref _state) < 0)
        {
            return false;
        }

        if (Interlocked.Increment(ref _state) > 0)
        {
            return true;
        }

        Interlocked.Decrement(ref _state);
        return false;
    }

    /// <summary>Leaves.</summary>
    public void Leave() => Interlocked.Decrement(ref _state);

    /// <summary>Lets nobody in any more. When this returns nobody is inside.</summary>
    public void Close()
    {
        Interlocked.Or(ref _state, Closed);
        SpinWait spin = default;
        while (Volatile.Read(ref _state) != Closed)
        {
            spin.SpinOnce();
        }
    }
}
