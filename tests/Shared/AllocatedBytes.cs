namespace Penstock.Tests;

/// <summary>What the calling thread allocates.</summary>
internal static class AllocatedBytes
{
    private const int Windows = 5;

    /// <summary>
    /// Bytes that so many rounds allocate, once as many have warmed up: the least of several windows. A collection that other tests cause, or a
    /// thread's first wait of a kind, may be booked in one of them; what a round allocated itself would be there in each.
    /// </summary>
    /// <param name="rounds">How many in a window.</param>
    /// <param name="round">One of them, with its number in the window.</param>
    public static long In(int rounds, Action<int> round)
    {
        Run();
        long least = long.MaxValue;
        for (int window = 0; window < Windows && least != 0; window++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Run();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;

        void Run()
        {
            for (int i = 0; i < rounds; i++)
            {
                round(i);
            }
        }
    }
}
