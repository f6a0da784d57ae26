using Penstock.Hypervisor.Tests.S390.Model;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Refresh;

/// <summary>Refreshes of more than anybody has the time to look at.</summary>
public sealed class FallbackEndTests : IDisposable
{
    private const ulong Page = 0x1000;
    private const ulong LastPage = ulong.MaxValue - (Page - 1);

    private readonly HypervisorRig _rig = new();
    private readonly RecordingNotifier _notifier = new();
    private readonly GuestTables _tables;

    public FallbackEndTests()
    {
        _rig.AddMemory(16 << 20);
        _tables = GuestMemoryTables.Create(_rig.Vm.Memory, 8 << 20, 8 << 20, ZpciDesignationType.RegionFirst);
    }

    public void Dispose() => _rig.Dispose();

    /// <summary>Five tables, each of whose entries leads to the next one, which is 2^52 entries.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Refresh_TablesThatLeadToEachOther_GivesUp_WhatWasNotLookedAtIsUnmapped(bool maps)
    {
        // Room for few of the pages: then each one is looked at, and nothing is done.
        using var mode = new FallbackRefresh<TableWalker<GuestTableReader>>(
            new TableWalker<GuestTableReader>(new GuestTableReader(_rig.Vm.Memory)), _notifier, new DmaBudget(16), new FallbackOptions { MostLooks = 1 << 16 });
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(_tables.Iota, new DmaAperture(0, ulong.MaxValue))));
        _tables.Map(LastPage, 0x7000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(LastPage, Page - 1));
        Assert.Equal([LastPage], _notifier.Mapped.Select(static p => p.Iova));

        _tables.Map(0, 0x5000, 1);
        if (!maps)
        {
            _tables.Unmap(0, 1);
        }

        foreach (ZpciTableLevel level in (ReadOnlySpan<ZpciTableLevel>)
            [ZpciTableLevel.RegionFirst, ZpciTableLevel.RegionSecond, ZpciTableLevel.RegionThird, ZpciTableLevel.Segment])
        {
            ulong below = _tables.Get(0, level);
            for (ulong i = 1; i < ZpciIoTable.TableEntries; i++)
            {
                _tables.Set(i << (int)level, level, below);
            }
        }

        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(0, ulong.MaxValue));
        Assert.DoesNotContain(_notifier.Mapped, static p => p.Iova == LastPage);
        Assert.Equal(maps ? 15 : 0, mode.MappedPages);

        // What is asked for on its own is done as ever.
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(0, Page));
    }

    [Fact]
    public void Deregister_WhileARefreshIsUnderWay_EndsIt()
    {
        using var walker = new EndlessWalker();
        using var mode = new FallbackRefresh<EndlessWalker>(walker, _notifier);
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(_tables.Iota, new DmaAperture(0, ulong.MaxValue))));
        RpcitAnswer answer = default;
        var guest = new Thread(() => answer = mode.Refresh(0, ulong.MaxValue)) { IsBackground = true };
        guest.Start();
        Assert.True(walker.IsUnderWay.Wait(HypervisorRig.Patience));

        // A walk goes on when this is waiting, so that it cannot have come too late.
        var end = new Thread(mode.Deregister) { IsBackground = true };
        end.Start();
        Assert.True(SpinWait.SpinUntil(() => (end.ThreadState & ThreadState.WaitSleepJoin) != 0 || !end.IsAlive, HypervisorRig.Patience));
        walker.GoOn.Set();

        Assert.True(guest.Join(HypervisorRig.Patience) && end.Join(HypervisorRig.Patience));
        Assert.Equal(RpcitAnswer.Insufficient, answer);
        Assert.InRange(walker.Walks, 1, 2);
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, mode.Refresh(0, Page).Event);
    }

    /// <summary>Tables in which nothing is mapped, anywhere.</summary>
    private sealed class EndlessWalker : IIoWalker, IDisposable
    {
        public ManualResetEventSlim IsUnderWay { get; } = new();

        public ManualResetEventSlim GoOn { get; } = new();

        public int Walks { get; private set; }

        public IoWalk Walk(Iota iota, ulong iova)
        {
            Walks++;
            IsUnderWay.Set();
            GoOn.Wait();
            return IoWalk.Invalid(iova, ZpciTableLevel.Page);
        }

        public void Dispose()
        {
            IsUnderWay.Dispose();
            GoOn.Dispose();
        }
    }
}
