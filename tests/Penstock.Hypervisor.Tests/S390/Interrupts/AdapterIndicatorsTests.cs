using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390;

public sealed class AdapterIndicatorsTests : IDisposable
{
    private const ulong Vector = 0x1000;
    private const ulong Summary = 0x2000;

    private readonly HypervisorRig _rig = new();
    private readonly ProcessMemory _guest;
    private int _told;

    public AdapterIndicatorsTests()
    {
        _guest = ProcessMemory.Allocate(0x4000, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, 0x4000, _guest, 0, false));
    }

    public void Dispose()
    {
        _guest.Release();
        _rig.Dispose();
    }

    [Fact]
    public void Deliver_SummaryClearOrSet_BitAlwaysAndProdOnlyWhenClear()
    {
        using AdapterIndicators to = New(new AdapterIndicatorPlace(Vector, 3, 40, Summary, 10));
        Assert.Equal(Errno.None, to.Deliver(0));
        Assert.Equal(Errno.None, to.Deliver(39));
        Assert.Equal([0x10, 0, 0, 0, 0, 0x20, 0, 0], _guest.Span(Vector, 8).ToArray());
        Assert.Equal([0, 0x20, 0, 0, 0, 0, 0, 0], _guest.Span(Summary, 8).ToArray());
        Assert.Equal((2, 1, 1), (to.Indicated, to.Prods, _told));
        Assert.True(to.IsSummarySet);

        _guest.Write(Summary, new byte[8]);
        Assert.False(to.IsSummarySet);
        Assert.Equal(Errno.None, to.Deliver(0));
        Assert.Equal((3, 2, 2), (to.Indicated, to.Prods, _told));
    }

    [Fact]
    public void Deliver_NoSummaryOrAfterTheEnd_ProdsEachTimeOrNever()
    {
        AdapterIndicators to = New(new AdapterIndicatorPlace(Vector, 0, 64, null, 0));
        Assert.Equal(Errno.None, to.Deliver(1));
        Assert.Equal(Errno.None, to.Deliver(1));
        Assert.Equal(2, _told);
        Assert.False(to.IsSummarySet);
        Assert.Equal(Errno.EINVAL, to.Deliver(64));
        Assert.Equal(Errno.EINVAL, to.Deliver(-1));
        to.Dispose();
        to.Dispose();
        Assert.Equal(Errno.ENODEV, to.Deliver(1));
        Assert.Equal(2, _told);
    }

    [Fact]
    public void Create_WhatTheGuestGaveIsWrong_ItsErrorAndNothingIsPinned()
    {
        long before = _rig.Host.Ledger.Total;
        Assert.Equal(Errno.EINVAL, ErrnoOf(new AdapterIndicatorPlace(Vector, 0, 0, Summary, 0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(new AdapterIndicatorPlace(Vector + 4, 0, 1, Summary, 0)));
        Assert.Equal(Errno.EINVAL, ErrnoOf(new AdapterIndicatorPlace(Vector, 0, 1, Summary + 1, 0)));
        Assert.Equal(Errno.EFAULT, ErrnoOf(new AdapterIndicatorPlace(0x10_0000, 0, 1, Summary, 0)));
        Assert.Equal(Errno.EFAULT, ErrnoOf(new AdapterIndicatorPlace(Vector, 0, 1, 0x10_0000, 0)));
        Assert.Equal(before, _rig.Host.Ledger.Total);
    }

    [Fact]
    public void Deliver_ManyThreadsWhileTheGuestClears_NoInterruptionIsLost()
    {
        const int Threads = 4;
        const int Rounds = 20_000;
        using AdapterIndicators to = New(new AdapterIndicatorPlace(Vector, 0, Threads, Summary, 0));
        long[] seen = new long[Threads];
        int ended = 0;
        int lost = 0;
        Thread[] devices = [.. Enumerable.Range(0, Threads).Select(n => new Thread(() =>
        {
            for (int i = 0; i < Rounds; i++)
            {
                long before = Volatile.Read(ref seen[n]);
                to.Deliver(n);
                if (i % 2000 == 0 && !SpinWait.SpinUntil(() => Volatile.Read(ref seen[n]) > before, HypervisorRig.Patience))
                {
                    // The guest sleeps, and its vector is set.
                    Interlocked.Increment(ref lost);
                    break;
                }
            }

            Interlocked.Increment(ref ended);
        })
        { IsBackground = true })];
        Array.ForEach(devices, static d => d.Start());

        // The guest: woken only by prods, it clears the summary before it looks at the vectors.
        int taken = 0;
        nint bits = _guest.DirectAddress + (nint)Vector;
        bool last;
        do
        {
            last = Volatile.Read(ref ended) == Threads;
            int told = Volatile.Read(ref _told);
            if (told == taken)
            {
                continue;
            }

            taken = told;
            while (Penstock.S390.IndicatorBits.TestAndClear(_guest.DirectAddress + (nint)Summary, 0))
            {
                for (uint n = 0; n < Threads; n++)
                {
                    seen[n] += Penstock.S390.IndicatorBits.TestAndClear(bits, n) ? 1 : 0;
                }
            }
        }
        while (!last || to.IsSummarySet);

        Array.ForEach(devices, static d => d.Join());
        Assert.Equal(0, lost);
        Assert.Equal(0, _guest.Span(Vector, 1)[0]);
        Assert.All(seen, static s => Assert.NotEqual(0, s));
        Assert.Equal(Threads * Rounds, to.Indicated);
    }

    [Fact]
    public void Deliver_Many_AllocatesNothing()
    {
        using AdapterIndicators to = New(new AdapterIndicatorPlace(Vector, 0, 8, null, 0));
        Assert.Equal(0, AllocatedBytes.In(1000, i => to.Deliver(i & 7)));
    }

    private AdapterIndicators New(in AdapterIndicatorPlace place) => new(_rig.Vm.Memory, place, () => Interlocked.Increment(ref _told));

    private Errno ErrnoOf(AdapterIndicatorPlace place) => Outcomes.ErrnoOf(() => New(place).Dispose());
}
