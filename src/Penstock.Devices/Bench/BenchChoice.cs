using System.Runtime.CompilerServices;

namespace Penstock.Devices;

/// <summary>Which region comes next.</summary>
internal struct BenchChoice(BenchPattern pattern, ulong start, ulong stride, ulong regions)
{
    private const ulong RandomSeed = 88172645463325252;

    private ulong _turn;
    private ulong _random = RandomSeed;

    /// <summary>The address of the next region.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong Next()
    {
        switch (pattern)
        {
            case BenchPattern.Random:
                _random ^= _random << 13;
                _random ^= _random >> 7;
                _random ^= _random << 17;

                // The high half of the product is as random as a remainder, and a division would take as long as a translation.
                return start + Math.BigMul(_random, regions, out _) * stride;
            case BenchPattern.RoundRobin:
                var at = _turn;
                _turn = at + 1 == regions ? 0 : at + 1;
                return start + at * stride;
            default:
                return start;
        }
    }
}
