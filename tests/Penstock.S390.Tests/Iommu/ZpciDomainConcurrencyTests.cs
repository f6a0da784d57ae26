using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciDomainConcurrencyTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;

    [Fact]
    public void MapUnmap_ManyThreadsInTheSameTables_EachFindsItsOwn()
    {
        const int Threads = 4;
        using var rig = new DomainRig(memory: Threads * Page);
        int failures = 0;
        Run(Threads, thread =>
        {
            // All threads need the same missing tables at the same time, and neighbouring entries of them.
            var random = new Random(thread);
            for (int round = 0; round < 300; round++)
            {
                ulong iova = Start + ((ulong)round << 22) + ((ulong)thread * Page);
                rig.Domain.Map(iova, Page, DmaAccess.ReadWrite, rig.Memory, (ulong)thread * Page);
                byte[] data = [(byte)(thread + 1)];
                bool right = rig.Domain.Write(iova, data) == Errno.None && rig.Memory.Span((ulong)thread * Page, 1)[0] == thread + 1;
                right &= random.Next(2) == 0 || rig.Domain.Unmap(new IovaRange(iova, iova + Page - 1)) == Page;
                Interlocked.Add(ref failures, right ? 0 : 1);
            }
        });
        Assert.Equal(0, failures);
        long left = rig.Domain.Count;
        Assert.Equal((ulong)left * Page, rig.Domain.Unmap(IovaRange.All));
        Assert.Equal(0, rig.Domain.Count);
    }

    [Fact]
    public void Map_ManyThreadsOverlapping_AtMostOneWinsAndTheOthersLeaveNothing()
    {
        using var rig = new DomainRig();
        for (int round = 0; round < 200; round++)
        {
            ulong iova = Start + ((ulong)round << 20) - (4 * Page);
            int won = 0;
            using var barrier = new Barrier(3);
            Run(3, thread =>
            {
                barrier.SignalAndWait();
                Errno errno = rig.TryMap(iova + ((ulong)thread * 2 * Page), 8, firstPage: (ulong)thread * 8);
                Assert.True(errno is Errno.None or Errno.EEXIST);
                Interlocked.Add(ref won, errno == Errno.None ? 1 : 0);
            });

            // With luck against them all may lose, each to a page of another; what is there is whole.
            Assert.InRange(won, 0, 1);
            Assert.Equal(won, rig.Domain.Count);
            Assert.Equal((ulong)won * 8 * Page, rig.Domain.Unmap(IovaRange.All));
        }
    }

    [Fact]
    public void Unmap_ManyThreadsOneRange_EachPageOnce()
    {
        using var rig = new DomainRig();
        for (int round = 0; round < 200; round++)
        {
            for (ulong i = 0; i < 16; i++)
            {
                rig.Map(Start + (i * 4 * Page), 4);
            }

            long removed = 0;
            using var barrier = new Barrier(3);
            Run(3, _ =>
            {
                barrier.SignalAndWait();
                Interlocked.Add(ref removed, (long)rig.Unmap(Start, 64));
            });
            Assert.Equal(64 * (long)Page, removed);
            Assert.Equal(0, rig.Domain.Count);
        }
    }

    [Fact]
    public void Unmap_WhileOthersAccess_NothingIsTouchedAfterItReturns()
    {
        using var rig = new DomainRig();
        int stop = 0;
        int touchedLate = 0;
        long touched = 0;

        // 0: mapped; 1: unmap has returned. The memory belongs to whoever unmapped it, who writes a mark into it.
        const byte Device = 1;
        const byte Owner = 2;
        var devices = Enumerable.Range(0, 2).Select(_ => Begin(() =>
        {
            byte[] data = new byte[64];
            data.AsSpan().Fill(Device);
            while (Volatile.Read(ref stop) == 0)
            {
                rig.Domain.Write(Start + 128, data);
                using DmaScope scope = rig.Domain.Enter();
                if (scope.TryBorrow(Start + Page, Page, DmaAccess.Write, out DmaRun run))
                {
                    run.Span.Fill(Device);
                    Interlocked.Increment(ref touched);
                }
            }
        })).ToList();
        for (int round = 0; round < 400; round++)
        {
            rig.Map(Start, 2);
            if (round % 8 == 0)
            {
                long seen = Interlocked.Read(ref touched);
                Assert.True(SpinWait.SpinUntil(() => Interlocked.Read(ref touched) > seen, TimeSpan.FromMinutes(3)), "the devices stand still");
            }

            rig.Unmap(Start, 2);
            Span<byte> memory = rig.Memory.Span(0, 2 * (int)Page);
            memory.Fill(Owner);
            Thread.SpinWait(50);
            touchedLate += memory.Contains(Device) ? 1 : 0;
        }

        Volatile.Write(ref stop, 1);
        devices.ForEach(static d => d.Join());
        Assert.Equal(0, touchedLate);
    }

    [Fact]
    public void Replace_WhileOthersUnmap_MemoryIsGivenBackOnce()
    {
        using var rig = new DomainRig();
        for (int round = 0; round < 200; round++)
        {
            rig.Map(Start, 16);
            using var barrier = new Barrier(2);
            Run(2, thread =>
            {
                barrier.SignalAndWait();
                if (thread == 0)
                {
                    Assert.True(ErrnoOf(() => rig.Domain.Replace(Start, rig.Memory, 16 * Page)) is Errno.None or Errno.EINVAL);
                }
                else
                {
                    rig.Unmap(Start, 16);
                }
            });
            rig.Unmap(Start, 16);
            Assert.Equal(0, rig.Domain.Count);
        }

        // The rig's own reference is the last: no hold was given back twice.
        rig.Memory.Hold();
        rig.Memory.Release();
    }

    private static Thread Begin(Action work)
    {
        var thread = new Thread(() => work()) { IsBackground = true };
        thread.Start();
        return thread;
    }

    private static void Run(int threads, Action<int> work)
    {
        Exception? failure = null;
        Thread[] all = [.. Enumerable.Range(0, threads).Select(i => Begin(() =>
        {
            try
            {
                work(i);
            }
            catch (Exception e)
            {
                failure = e;
            }
        }))];
        foreach (Thread thread in all)
        {
            thread.Join();
        }

        Assert.Null(failure);
    }
}
