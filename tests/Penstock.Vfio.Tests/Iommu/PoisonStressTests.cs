using Penstock.Interop;
using Penstock.Specs.Vfio;

namespace Penstock.Vfio.Tests;

/// <summary>
/// Translation while another thread maps and unmaps through a container. Everything mapped holds one byte everywhere; the moment an unmap has
/// returned, its memory is poisoned. Who still uses an earlier translation reads poison, or writes into it.
/// </summary>
public sealed class PoisonStressTests
{
    private const ulong Page = 4096;
    private const byte Alive = 0x5a;
    private const byte Poison = 0xee;
    private const int Slots = 512;
    private const int Spare = 700;
    private const int Rounds = 1500;
    private const int Turns = 20;

    /// <summary>
    /// The seeds differ in how much is unmapped at once: single mappings, whose entries are emptied in place; ranges over many, which rewrite
    /// chunks; and all of them.
    /// </summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(2, 40)]
    [InlineData(3, Slots)]
    public async Task Translate_WhileMappingAndUnmapping_NoPoisonNoLockNoAllocation(int seed, int largestUnmap)
    {
        using var rig = new Rig();
        (VfioContainer container, VfioGroup group) = rig.Ready();
        var domain = (SoftwareDomain)rig.Group.Domain!;
        bool stop = false;
        long[] bad = new long[2];
        long[] hits = new long[2];
        long[] allocated = [long.MaxValue, long.MaxValue];
        long[] turns = new long[2];
        Task[] devices =
        [
            Run(() => Borrow(0)),
            Run(() => Copy(1)),
        ];

        var random = new Random(seed);
        var live = new ProcessMemory?[Slots];
        var spare = new Queue<ProcessMemory>(Enumerable.Range(0, Spare).Select(_ => rig.Memory(2 * Page)));
        int lateWrites = 0;
        foreach (ProcessMemory memory in spare)
        {
            memory.Span(0, (int)(2 * Page)).Fill(Poison);
        }

        for (int round = 0; round < Rounds || hits.Contains(0) || turns.Min() < Turns; round++)
        {
            int slot = random.Next(Slots);
            if (live[slot] is null)
            {
                // Mappings of two pages reach over where one of one page may have been.
                ulong size = Page * (ulong)random.Next(1, 3);
                ProcessMemory memory = spare.Dequeue();
                lateWrites += IsPoisoned(memory) ? 0 : 1;
                memory.Span(0, (int)(2 * Page)).Fill(Alive);
                container.MapDma(Iova(slot), size, DmaAccess.ReadWrite, memory, 0);
                live[slot] = memory;
            }
            else
            {
                int count = Math.Min(random.Next(1, largestUnmap + 1), Slots - slot);
                container.UnmapDma(Iova(slot), (ulong)count * 2 * Page);
                for (int i = slot; i < slot + count; i++)
                {
                    if (live[i] is { } gone)
                    {
                        gone.Span(0, (int)(2 * Page)).Fill(Poison);
                        spare.Enqueue(gone);
                        live[i] = null;
                    }
                }
            }
        }

        Volatile.Write(ref stop, true);
        await Task.WhenAll(devices);
        container.UnmapDma(0, 0, all: true);
        lateWrites += spare.Count(m => !IsPoisoned(m));
        Assert.Equal(0, lateWrites);
        Assert.Equal([0, 0], bad);
        Assert.Equal([0, 0], allocated);
        foreach (ProcessMemory memory in spare.Concat(live.OfType<ProcessMemory>()))
        {
            memory.Release();
        }

        group.Dispose();
        container.Dispose();
        Assert.Equal("nothing", rig.Host.MemoryBalance);

        unsafe void Borrow(int n)
        {
            // A thread's first scope gets it a place among the readers.
            var picks = new Random(n);
            domain.Enter().Dispose();
            do
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 64; i++)
                {
                    using DmaScope scope = domain.Enter();
                    if (scope.TryBorrow(Iova(picks.Next(Slots)) + (ulong)picks.Next((int)(2 * Page)), Page, DmaAccess.Read, out DmaRun run))
                    {
                        hits[n]++;
                        bad[n] += run.Pointer[0] == Alive && run.Pointer[run.Length - 1] == Alive ? 0 : 1;
                    }
                }

                EndTurn(n, GC.GetAllocatedBytesForCurrentThread() - before);
            }
            while (!Volatile.Read(ref stop));
        }

        void Copy(int n)
        {
            var picks = new Random(n);
            byte[] alive = new byte[256];
            byte[] seen = new byte[256];
            alive.AsSpan().Fill(Alive);
            domain.Enter().Dispose();
            do
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                ulong iova = Iova(picks.Next(Slots)) + (ulong)(picks.Next(16) * 256);
                if (rig.Port.Read(iova, seen) == Errno.None)
                {
                    hits[n]++;
                    bad[n] += seen.AsSpan().SequenceEqual(alive) ? 0 : 1;
                    rig.Port.Write(iova, alive);
                }

                EndTurn(n, GC.GetAllocatedBytesForCurrentThread() - before);
            }
            while (!Volatile.Read(ref stop));
        }

        // The first turn warms up. A collection that other tests cause may be booked in a turn; what an access allocated would be there in each.
        void EndTurn(int n, long bytes)
        {
            allocated[n] = turns[n] == 0 ? long.MaxValue : Math.Min(allocated[n], bytes);
            Volatile.Write(ref turns[n], turns[n] + 1);
        }
    }

    private static ulong Iova(int slot) => (ulong)slot * 2 * Page;

    private static bool IsPoisoned(ProcessMemory memory) => memory.Span(0, (int)(2 * Page)).IndexOfAnyExcept(Poison) < 0;

    private static Task Run(Action work) => Task.Factory.StartNew(work, TaskCreationOptions.LongRunning);
}
