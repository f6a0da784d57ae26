using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// Which adapter interruptions a guest wants of those that the VMM injects by itself (SIC). What a guest interruption state area delivers is held back
/// by the same rules there (<see cref="Gisa"/>). May be used from any thread.
/// </summary>
internal sealed class ZpciSuppression
{
    private readonly Lock _gate = new();
    private InterruptionModes _modes;
    private long _suppressed;

    public long Suppressed => Interlocked.Read(ref _suppressed);

    /// <summary>Whether an interruption goes through now.</summary>
    public bool Passes(int subclass)
    {
        byte mask = GisaArea.MaskOf(subclass);
        lock (_gate)
        {
            if (!_modes.HoldsBack(mask))
            {
                _modes = _modes.Used(mask);
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
        if (!InterruptionModes.IsMode(mode))
        {
            return false;
        }

        lock (_gate)
        {
            _modes = _modes.Set(GisaArea.MaskOf(subclass), mode);
            return true;
        }
    }

    public void Reset()
    {
        lock (_gate)
        {
            _modes = default;
        }
    }
}
