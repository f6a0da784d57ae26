using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Another backing whose flushes can be made to wait or to fail.</summary>
internal sealed class FlushGatedBacking(INvmeBacking inner) : INvmeBacking
{
    private int _waiting;

    public ManualResetEventSlim Gate { get; } = new(initialState: true);

    /// <summary>What flushes answer instead of doing anything.</summary>
    public Errno Answer { get; set; }

    public bool IsWaiting => Volatile.Read(ref _waiting) > 0;

    public ulong Length => inner.Length;

    public bool IsReadOnly => inner.IsReadOnly;

    public bool MayBlock => inner.MayBlock;

    public bool CanDeallocate => inner.CanDeallocate;

    public long FlushCount => inner.FlushCount;

    public string Description => inner.Description;

    public void Close() => Gate.Reset();

    public void Open() => Gate.Set();

    public Errno Read(ulong offset, Span<byte> destination) => inner.Read(offset, destination);

    public Errno Write(ulong offset, ReadOnlySpan<byte> source) => inner.Write(offset, source);

    public Errno Zero(ulong offset, ulong length, bool deallocate) => inner.Zero(offset, length, deallocate);

    public Errno Flush()
    {
        Interlocked.Increment(ref _waiting);
        Gate.Wait(TimeSpan.FromMinutes(1));
        Interlocked.Decrement(ref _waiting);
        return Answer == Errno.None ? inner.Flush() : Answer;
    }

    public Errno Activate() => inner.Activate();

    public void Deactivate() => inner.Deactivate();

    public void Dispose() => inner.Dispose();
}
