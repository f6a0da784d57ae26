namespace Penstock.VfioUser;

/// <summary>
/// Who reads a connection. Its own thread does, and offers the turn while posted work of the device is running: then work that waits for replies
/// reads them itself, and no thread has to be woken for each. The own thread sleeps meanwhile and has the turn back as soon as somebody gives it
/// back, when the work comes to a stop, and at the latest when nobody has used it for some milliseconds.
/// </summary>
internal sealed class ReadingTurn
{
    private const int Own = 0;
    private const int Offered = 1;
    private const int Lent = 2;

    private const int ShortLook = 1;
    private const int LongLook = 16;

    private readonly object _gate = new();
    private int _state;
    private int _uses;
    private int _usesBefore;

    /// <summary>Offers the turn. For the thread that owns it, which must not read before <see cref="Withdraw"/> or <see cref="WaitUntilBack"/>.</summary>
    public void Offer()
    {
        _usesBefore = _uses;
        Interlocked.Exchange(ref _state, Offered);
    }

    /// <summary>Takes back what was offered.</summary>
    /// <returns>False when somebody is using it.</returns>
    public bool Withdraw() => Interlocked.CompareExchange(ref _state, Own, Offered) != Lent;

    /// <summary>Sleeps until the turn is back.</summary>
    /// <returns>Whether somebody has used it.</returns>
    public bool WaitUntilBack()
    {
        lock (_gate)
        {
            int seen = _usesBefore;
            int look = ShortLook;
            while (Volatile.Read(ref _state) != Own)
            {
                bool told = Monitor.Wait(_gate, look);
                int uses = Volatile.Read(ref _uses);
                if (!told && uses == seen)
                {
                    if (Withdraw())
                    {
                        break;
                    }

                    // Somebody reads and the peer takes its time.
                    look = Math.Min(2 * look, LongLook);
                }
                else
                {
                    seen = uses;
                    look = ShortLook;
                }
            }
        }

        return _uses != _usesBefore;
    }

    /// <summary>Takes the turn if it is offered. Then <see cref="PutBack"/> or <see cref="Return"/> must follow.</summary>
    /// <returns>Whether the caller has it.</returns>
    public bool TryTake()
    {
        if (Volatile.Read(ref _state) != Offered || Interlocked.CompareExchange(ref _state, Lent, Offered) != Offered)
        {
            return false;
        }

        Volatile.Write(ref _uses, _uses + 1);
        return true;
    }

    /// <summary>Leaves the turn to the next one who waits, without waking anybody.</summary>
    public void PutBack() => Interlocked.Exchange(ref _state, Offered);

    /// <summary>Gives the turn back to its owner.</summary>
    public void Return()
    {
        Volatile.Write(ref _state, Own);
        Wake();
    }

    /// <summary>Gives the turn back to its owner unless somebody is using it. May be called by anybody at any time.</summary>
    public void EndOffer()
    {
        if (Volatile.Read(ref _state) == Offered && Interlocked.CompareExchange(ref _state, Own, Offered) == Offered)
        {
            Wake();
        }
    }

    private void Wake()
    {
        lock (_gate)
        {
            Monitor.Pulse(_gate);
        }
    }
}
