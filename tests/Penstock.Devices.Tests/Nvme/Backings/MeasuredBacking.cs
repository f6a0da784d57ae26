using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Blocks in memory that are said to be slow, so that workers use them; says what the thread that came last has allocated so far.</summary>
internal sealed class MeasuredBacking : INvmeBacking
{
    private readonly MemoryNvmeBacking _memory = new(8 << 20);
    private long _allocated;

    public ulong Length => _memory.Length;

    public bool IsReadOnly => false;

    public bool MayBlock => true;

    public bool CanDeallocate => true;

    public long FlushCount => _memory.FlushCount;

    public string Description => "measured";

    internal long AllocatedByCaller => Interlocked.Read(ref _allocated);

    public Errno Read(ulong offset, Span<byte> destination)
    {
        Measure();
        return _memory.Read(offset, destination);
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        Measure();
        return _memory.Write(offset, source);
    }

    public Errno Zero(ulong offset, ulong length, bool deallocate) => _memory.Zero(offset, length, deallocate);

    public Errno Flush() => _memory.Flush();

    public void Dispose() => _memory.Dispose();

    private void Measure() => Interlocked.Exchange(ref _allocated, GC.GetAllocatedBytesForCurrentThread());
}
