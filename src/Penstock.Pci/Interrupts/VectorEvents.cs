namespace Penstock.Pci;

/// <summary>
/// The eventfds of one kind of message signalled interrupts, one place for each vector. Fire may be called from any thread, takes no
/// lock and allocates nothing; the other members are called on the strand.
/// </summary>
internal sealed class VectorEvents(int count)
{
    private readonly BoundEvent?[] _events = new BoundEvent?[count];
    private readonly bool[] _allocated = new bool[count];
    private volatile bool _suspended;

    private IMessageIndicator? _indicator;

    public int Count => _events.Length;

    /// <summary>Asked before an eventfd is signalled; null for nobody.</summary>
    public IMessageIndicator? Indicator
    {
        get => Volatile.Read(ref _indicator);
        set => Volatile.Write(ref _indicator, value);
    }

    public bool IsBound(int vector) => Volatile.Read(ref _events[vector]) is not null;

    public bool IsAllocated(int vector) => _allocated[vector];

    public void Allocate(int first, int number) => _allocated.AsSpan(first, number).Fill(true);

    /// <summary>Replaces the eventfd of a vector; when this returns the old one is not signalled any more.</summary>
    public void Bind(int vector, BoundEvent? bound) => Interlocked.Exchange(ref _events[vector], bound)?.Retire();

    public void Clear()
    {
        for (int vector = 0; vector < _events.Length; vector++)
        {
            Bind(vector, null);
        }

        Array.Clear(_allocated);
    }

    public bool IsSuspended => _suspended;

    /// <summary>Nothing is signalled until <see cref="Resume"/>; when this returns no signal is in progress.</summary>
    public void Suspend()
    {
        // The full fence between this store and the looks at the events is in the exchange of WaitUntilLeft.
        _suspended = true;
        foreach (BoundEvent? bound in _events)
        {
            bound?.WaitUntilLeft();
        }
    }

    public void Resume()
    {
        _suspended = false;
        Interlocked.MemoryBarrier();
    }

    /// <summary>Signals a vector's eventfd.</summary>
    /// <returns>False when it has none, or while suspended.</returns>
    public bool Fire(int vector) => Fire(vector, evenSuspended: false);

    /// <summary>Signals a vector's eventfd for its user, who may do so also while the function is suspended. Without effect when it has none.</summary>
    public void FireBySoftware(int vector) => Fire(vector, evenSuspended: true);

    private bool Fire(int vector, bool evenSuspended)
    {
        while (Volatile.Read(ref _events[vector]) is { } bound)
        {
            if (bound.TryEnter())
            {
                if (_suspended && !evenSuspended)
                {
                    bound.Leave();
                    return false;
                }

                if (!evenSuspended && Volatile.Read(ref _indicator)?.Indicate(vector) == true)
                {
                    bound.Leave();
                    return true;
                }

                bound.SignalAndLeave();
                return true;
            }

            // Retired between the two looks: its place already holds the next one, or none.
        }

        return false;
    }
}
