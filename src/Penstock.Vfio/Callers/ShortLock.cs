namespace Penstock.Vfio;

/// <summary>
/// A lock for a few instructions that call nothing foreign. Entering a free one is one compare-and-swap and leaving it a plain store, half of what other
/// locks take; who finds it taken looks again and again, and sleeps in between when that takes long. The same thread must not enter it twice.
/// </summary>
internal sealed class ShortLock
{
    private int _held;

    /// <summary>Waits until the lock is free, and takes it.</summary>
    /// <returns>What gives it back.</returns>
    internal Holder Enter()
    {
        if (Interlocked.CompareExchange(ref _held, 1, 0) != 0)
        {
            EnterSlowly();
        }

        return new Holder(this);
    }

    private void EnterSlowly()
    {
        var spin = default(SpinWait);
        do
        {
            spin.SpinOnce();
        }
        while (Volatile.Read(ref _held) != 0 || Interlocked.CompareExchange(ref _held, 1, 0) != 0);
    }

    /// <summary>Gives the lock back.</summary>
    internal readonly ref struct Holder(ShortLock gate)
    {
        public void Dispose() => Volatile.Write(ref gate._held, 0);
    }
}
