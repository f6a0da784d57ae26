using Penstock.Interop;

namespace Penstock.Devices.Tests;

/// <summary>Blocks in memory that are read at once, until the strand gets stuck in one of the reads.</summary>
internal sealed class StuckBacking(ManualResetEventSlim gate, int reads) : PassingBacking(new MemoryNvmeBacking(1 << 20))
{
    private int _reads;

    public override Errno Read(ulong offset, Span<byte> destination)
    {
        if (++_reads == reads)
        {
            gate.Wait(TimeSpan.FromMinutes(1));
        }

        return base.Read(offset, destination);
    }
}
