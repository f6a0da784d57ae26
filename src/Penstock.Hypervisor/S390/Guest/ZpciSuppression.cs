using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>Which adapter interruptions a guest wants (SIC): all of a subclass, or one until it asks again. May be used from any thread.</summary>
internal sealed class ZpciSuppression
{
    private readonly Lock _gate = new();
    private int _single;
    private int _none;
    private long _suppressed;

    public long Suppressed => Interlocked.Read(ref _suppressed);

    /// <summary>Whether an interruption goes through now.</summary>
    public bool Passes(int subclass)
    {
        int mask = ZpciGisa.FirstSubclass >> subclass;
        lock (_gate)
        {
            if ((_none & mask) == 0)
            {
                _none |= _single & mask;
                return true;
            }
        }

        Interlocked.Increment(ref _suppressed);
        return false;
    }

    /// <summary>Sets the mode of a subclass.</summary>
    /// <returns>False: there is no such mode.</returns>
    public bool TrySet(int subclass, ZpciInterruptionControl mode)
    {
        if (mode is not (ZpciInterruptionControl.All or ZpciInterruptionControl.Single))
        {
            return false;
        }

        int mask = ZpciGisa.FirstSubclass >> subclass;
        lock (_gate)
        {
            _single = mode == ZpciInterruptionControl.Single ? _single | mask : _single & ~mask;
            _none &= ~mask;
            return true;
        }
    }

    public void Reset()
    {
        lock (_gate)
        {
            _single = 0;
            _none = 0;
        }
    }
}
