using System.Runtime.CompilerServices;

namespace Penstock.Devices;

/// <summary>Which region comes next. What it remembers is the caller's, who can keep it in a register.</summary>
internal readonly struct BenchChoice(BenchPattern pattern, ulong start, ulong stride, ulong regions)
{
    private const ulong RandomSeed = 88172645463325252;

    /// <summary>What <see cref="Next"/> remembers at first.</summary>
    internal ulong FirstState => pattern == BenchPattern.Random ? RandomSeed : 0;

    /// <summary>Whether regions come at random, and <see cref="NextAtRandom"/> tells the next.</summary>
    internal bool IsRandom => pattern == BenchPattern.Random;

    /// <summary>The address of the next region.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong Next(ref ulong state)
    {
        switch (pattern)
        {
            case BenchPattern.Random:
                return NextAtRandom(ref state);
            case BenchPattern.RoundRobin:
                var at = state;
                state = at + 1 == regions ? 0 : at + 1;
                return start + at * stride;
            default:
                return start;
        }
    }

    /// <summary>As <see cref="Next"/>, where it is known that the choice is random: to find that out each time takes a part of what a translation does.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    internal ulong NextAtRandom(ref ulong state)
    {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;

        // The high half of the product is as random as a remainder, and a division would take as long as a translation.
        return start + Math.BigMul(state, regions, out _) * stride;
    }
}
