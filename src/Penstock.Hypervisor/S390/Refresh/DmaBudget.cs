namespace Penstock.Hypervisor;

/// <summary>
/// How many more mappings a container takes: one object for all functions in it, made with what the container says is available. May be
/// used from any thread.
/// </summary>
/// <param name="limit">How many mappings are available.</param>
public sealed class DmaBudget(long limit)
{
    private long _available = limit;

    /// <summary>How many are left.</summary>
    public long Available => Interlocked.Read(ref _available);

    internal bool TryTake()
    {
        long before = Available;
        while (before > 0)
        {
            long seen = Interlocked.CompareExchange(ref _available, before - 1, before);
            if (seen == before)
            {
                return true;
            }

            before = seen;
        }

        return false;
    }

    internal void Return(long count) => Interlocked.Add(ref _available, count);
}
