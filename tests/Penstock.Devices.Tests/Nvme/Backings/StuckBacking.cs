using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Blocks in memory that are read at once, until the strand gets stuck in one of the reads.</summary>
internal sealed class StuckBacking(ManualResetEventSlim gate, int reads) : INvmeBacking
{
    private readonly MemoryNvmeBacking _memory = new(1 << 20);
    private int _reads;

    public ulong Length => _memory.Length;

    public bool IsReadOnly => false;

    public bool MayBlock => false;

    public bool CanDeallocate => true;

    public long FlushCount => _memory.FlushCount;

    public string Description => "stuck";

    public Errno Read(ulong offset, Span<byte> destination)
    {
        if (++_reads == reads)
        {
            gate.Wait(TimeSpan.FromMinutes(1));
        }

        return _memory.Read(offset, destination);
    }

    public Errno Write(ulong offset, ReadOnlySpan<byte> source) => _memory.Write(offset, source);

    public Errno Zero(ulong offset, ulong length, bool deallocate) => _memory.Zero(offset, length, deallocate);

    public Errno Flush() => _memory.Flush();

    public void Dispose() => _memory.Dispose();
}
