using Penstock.Interop;

namespace Penstock.Vfio.Tests;

public sealed class SoftwareDomainConcurrencyTests
{
    private const ulong Page = 4096;
    private const byte Alive = 0x5a;
    private const int Rounds = 2000;

    /// <summary>
    /// Two threads translate while a third maps and unmaps. Each memory is overwritten the moment its unmap has returned, so a
    /// translation that outlives the unmap reads something else than what every mapped byte holds.
    /// </summary>
    [Fact]
    public async Task Translate_WhileUnmapping_NeverSeesMemoryAfterTheUnmapReturned()
    {
        using var domain = new SoftwareDomain(IovaRange.All, ~0xffful);
        bool stop = false;
        long bad = 0;
        long hits = 0;
        Task[] readers = [.. Enumerable.Range(0, 2).Select(n => Task.Factory.StartNew(() => Reader(n), TaskCreationOptions.LongRunning))];

        var random = new Random(3);
        var live = new List<(ulong Iova, ProcessMemory Memory)>();
        var spare = new Stack<ProcessMemory>(Enumerable.Range(0, 80).Select(_ => ProcessMemory.Allocate(Page)));
        for (int round = 0; round < Rounds || Volatile.Read(ref hits) == 0; round++)
        {
            if (spare.TryPop(out ProcessMemory? memory))
            {
                ulong iova = (ulong)random.Next(256) * Page;
                memory.Span(0, (int)Page).Fill(Alive);
                if (live.Exists(l => l.Iova == iova))
                {
                    spare.Push(memory);
                }
                else
                {
                    domain.Map(iova, Page, DmaAccess.Read, memory, 0);
                    live.Add((iova, memory));
                }
            }

            if (live.Count > 60)
            {
                int victim = random.Next(live.Count);
                (ulong iova, ProcessMemory gone) = live[victim];
                domain.Unmap(new IovaRange(iova, iova + Page - 1));
                gone.Span(0, (int)Page).Clear();
                live.RemoveAt(victim);
                spare.Push(gone);
            }
        }

        Volatile.Write(ref stop, true);
        await Task.WhenAll(readers);
        Assert.Equal(0, bad);
        domain.Unmap(IovaRange.All);
        live.ForEach(l => l.Memory.Release());
        foreach (ProcessMemory memory in spare)
        {
            memory.Release();
        }

        unsafe void Reader(int n)
        {
            var random = new Random(n);
            while (!Volatile.Read(ref stop))
            {
                for (int i = 0; i < 64; i++)
                {
                    using DmaScope scope = domain.Enter();
                    if (scope.TryBorrow((ulong)random.Next(256) * Page, Page, DmaAccess.Read, out DmaRun run))
                    {
                        Interlocked.Increment(ref hits);
                        if (run.Pointer[0] != Alive || run.Pointer[Page - 1] != Alive)
                        {
                            Interlocked.Increment(ref bad);
                        }
                    }
                }
            }
        }
    }

    [Fact]
    public async Task Detach_WhileAnotherThreadDoesDma_BlocksIt()
    {
        using var rig = new Rig();
        for (int round = 0; round < 50; round++)
        {
            (VfioContainer container, VfioGroup group) = rig.Ready();
            ProcessMemory memory = rig.Memory(Page);
            container.MapDma(0, Page, DmaAccess.ReadWrite, memory, 0);
            Task writer = Task.Run(() =>
            {
                byte[] ones = [1, 1, 1, 1, 1, 1, 1, 1];
                while (rig.Port.Write(0, ones) == Errno.None)
                {
                }
            });
            group.UnsetContainer();
            memory.Span(0, 8).Clear();
            await writer;
            Assert.Equal(new byte[8], memory.Span(0, 8).ToArray());
            memory.Release();
            group.Dispose();
            container.Dispose();
        }
    }
}
