namespace Penstock.Devices;

/// <summary>
/// Which blocks commands are at, so that a block is written as a whole for all others (AWUN 0; NVM Express base specification 1.4, section
/// 6.4): of two accesses that overlap, one of which writes, the later waits until the earlier has ended, in the order in which they came, so
/// that none waits for ever. Whoever is in does nothing but access the backing and enters no second range; so nobody waits in a circle.
/// Allocates nothing; from any thread.
/// </summary>
/// <param name="most">How many accesses there can be at once, waiting ones included; more wait for a place.</param>
internal sealed class NvmeBlockRanges(int most)
{
    private readonly object _gate = new();
    private readonly Access[] _accesses = new Access[most];
    private ulong _last;
    private int _waiting;

    /// <summary>How many threads wait.</summary>
    internal int Waiting => Volatile.Read(ref _waiting);

    /// <summary>Begins an access, when it may; until then this waits.</summary>
    /// <param name="first">First byte, of whole blocks.</param>
    /// <param name="last">Last byte.</param>
    /// <param name="writes">Whether blocks are changed.</param>
    /// <returns>For <see cref="Leave"/>.</returns>
    internal int Enter(ulong first, ulong last, bool writes)
    {
        lock (_gate)
        {
            int place;
            while ((place = Take(first, last, writes)) < 0)
            {
                Wait();
            }

            while (IsBehind(_accesses[place]))
            {
                Wait();
            }

            return place;
        }
    }

    /// <summary>As <see cref="Enter"/>, but where that would wait nothing is done.</summary>
    /// <param name="first">First byte, of whole blocks.</param>
    /// <param name="last">Last byte.</param>
    /// <param name="writes">Whether blocks are changed.</param>
    /// <param name="place">For <see cref="Leave"/>.</param>
    /// <returns>Whether the access has begun.</returns>
    internal bool TryEnter(ulong first, ulong last, bool writes, out int place)
    {
        lock (_gate)
        {
            place = Take(first, last, writes);
            if (place < 0 || !IsBehind(_accesses[place]))
            {
                return place >= 0;
            }

            // Nobody has seen it, so nobody waits for it.
            _accesses[place] = default;
            return false;
        }
    }

    /// <summary>Ends an access.</summary>
    internal void Leave(int place)
    {
        lock (_gate)
        {
            _accesses[place] = default;
            if (_waiting != 0)
            {
                Monitor.PulseAll(_gate);
            }
        }
    }

    private int Take(ulong first, ulong last, bool writes)
    {
        for (int i = 0; i < _accesses.Length; i++)
        {
            if (!_accesses[i].IsTaken)
            {
                _accesses[i] = new Access(++_last, first, last, writes);
                return i;
            }
        }

        return -1;
    }

    /// <summary>Whether an access that came earlier, and may itself be waiting, must end first.</summary>
    private bool IsBehind(in Access access)
    {
        foreach (ref readonly Access other in _accesses.AsSpan())
        {
            if (other.IsTaken && other.Order < access.Order && (other.Writes || access.Writes)
                && other.First <= access.Last && access.First <= other.Last)
            {
                return true;
            }
        }

        return false;
    }

    private void Wait()
    {
        _waiting++;
        Monitor.Wait(_gate);
        _waiting--;
    }

    /// <summary>An access; the default is a free place.</summary>
    private readonly record struct Access(ulong Order, ulong First, ulong Last, bool Writes)
    {
        internal bool IsTaken => Order != 0;
    }
}
