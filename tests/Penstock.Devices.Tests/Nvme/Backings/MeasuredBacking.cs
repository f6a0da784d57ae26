using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Blocks in memory that are said to be slow, so that workers use them; says what the thread that came last has allocated so far.</summary>
internal sealed class MeasuredBacking() : PassingBacking(new MemoryNvmeBacking(8 << 20))
{
    private long _allocated;

    public override bool MayBlock => true;

    internal long AllocatedByCaller => Interlocked.Read(ref _allocated);

    public override Errno Read(ulong offset, Span<byte> destination)
    {
        Measure();
        return base.Read(offset, destination);
    }

    public override Errno Write(ulong offset, ReadOnlySpan<byte> source)
    {
        Measure();
        return base.Write(offset, source);
    }

    private void Measure() => Interlocked.Exchange(ref _allocated, GC.GetAllocatedBytesForCurrentThread());
}
