using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

public sealed class WalkedRefreshTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;
    private const long AllPages = (long)((NestingTables.FirstLength + NestingTables.SecondLength + NestingTables.ReadOnlyLength) / Page);

    private readonly NestingRig _rig = new();

    private NestingTables Tables => _rig.Tables;

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-10")]
    public void Access_AfterTheFirst_WalksAgainOnlyWhenItWasRefreshed()
    {
        WalkedRefresh walked = Registered();
        Tables.Map(Iova, Data);
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova, Page));
        nint first = NestingRig.Seen(walked.Domain, Iova)!.Value.Address;
        long walks = walked.Walks;
        Tables.Map(Iova, Data + Page);

        Assert.Equal(first, NestingRig.Seen(walked.Domain, Iova)!.Value.Address);
        Assert.Equal(walks, walked.Walks);
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova, Page));
        Assert.Equal(first + (nint)Page, NestingRig.Seen(walked.Domain, Iova)!.Value.Address);
        Tables.Unmap(Iova);
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova, Page));
        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
    }

    [Fact]
    [Trait("Row", "S3-11")]
    public void Register_PinsAllMemoryOnceAndRefreshesPinNothing()
    {
        WalkedRefresh walked = Registered();
        ShadowRefresh shadow = _rig.Shadow(out FakeHostTables _);
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        Assert.Equal((AllPages, AllPages), (walked.Pins, walked.PinnedPages));
        Tables.Map(Iova, Data);
        Tables.Map(Iova + Page, Data + Page);

        walked.Refresh(Iova, 2 * Page);
        shadow.Refresh(Iova, 2 * Page);

        Assert.Equal((AllPages, AllPages), (walked.Pins, walked.PinnedPages));
        Assert.Equal(4 + 4 + 1 + 2, shadow.PinnedPages);
        walked.Deregister();
        Assert.Equal((0, 0), (walked.Pins, walked.PinnedPages));
    }

    [Fact]
    [Trait("Row", "S3-11")]
    public void Register_OverTheLimit_IsEnomemAndLeavesNothing()
    {
        WalkedRefresh walked = _rig.Walked((ulong)AllPages - 1);

        Assert.Equal(Errno.ENOMEM, walked.Register(Tables.Registration()));

        Assert.Equal((0, 0), (walked.Pins, walked.PinnedPages));
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, walked.Refresh(Iova, Page).Event);
        Assert.Equal(Errno.EOPNOTSUPP, walked.Register(default));
    }

    [Theory]
    [InlineData(ZpciDesignationType.RegionSecond)]
    [InlineData(ZpciDesignationType.RegionFirst)]
    public void Register_OtherFirstTables_AreWalkedToo(ZpciDesignationType type)
    {
        Tables.Map(Iova, Data);
        ulong table = Tables.Root;
        for (ZpciDesignationType level = ZpciDesignationType.RegionSecond; level <= type; level++)
        {
            ulong above = Tables.NewTable();
            Tables.Write(above, table | ((ulong)level * ZpciIoTable.TypeStep) | ZpciIoTable.LengthMask);
            table = above;
        }

        WalkedRefresh walked = _rig.Walked();
        Assert.Equal(Errno.None, walked.Register(new IoatRegistration(Iota.Of(table, type), new DmaAperture(Iova, Iova + (1ul << 32) - 1))));
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova, Page));
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        Assert.Null(NestingRig.Seen(walked.Domain, Iova + (1ul << 32)));
    }

    [Fact]
    [Trait("Row", "S3-10")]
    public void Ring_ThatIsFull_DropsEverythingAndLosesNoInvalidation()
    {
        WalkedRefresh walked = Registered();
        Tables.Map(Iova, Data);
        Tables.Map(Iova + (600 * Page), Data);
        nint before = NestingRig.Seen(walked.Domain, Iova)!.Value.Address;
        Tables.Map(Iova, Data + Page);

        // The device does nothing meanwhile, so nobody drains. The one that counts comes when there is no room for it.
        for (int i = 0; i < InvalidationRing.Capacity; i++)
        {
            walked.Refresh(Iova + (600 * Page), Page);
        }

        Assert.Equal(0, walked.Overflows);
        walked.Refresh(Iova, Page);

        Assert.Equal(1, walked.Overflows);
        Assert.Equal(before + (nint)Page, NestingRig.Seen(walked.Domain, Iova)!.Value.Address);
    }

    [Fact]
    [Trait("Row", "S3-10")]
    public void Refresh_OfAPageInUse_WaitsForTheAccessAndOfOthersForNobody()
    {
        WalkedRefresh walked = Registered();
        Tables.Map(Iova, Data);
        Tables.Map(Iova + Page, Data);
        bool left = false;
        using var inside = new ManualResetEventSlim();
        using var leave = new ManualResetEventSlim();
        var device = new Thread(() =>
        {
            using DmaScope scope = walked.Domain.Enter();
            if (scope.TryBorrow(Iova, 8, DmaAccess.Write, out _))
            {
                inside.Set();
                leave.Wait();
                Volatile.Write(ref left, true);
            }
        });
        device.Start();
        Assert.True(inside.Wait(HypervisorRig.Patience));
        long waits = walked.Waits;

        // Nobody has looked at it: would this wait, it would be for ever.
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova + Page, Page));
        Assert.Equal(waits, walked.Waits);
        Tables.Unmap(Iova);
        var letGo = new Thread(() =>
        {
            // Not before somebody waits for it.
            SpinWait.SpinUntil(() => walked.Waits != waits, HypervisorRig.Patience);
            leave.Set();
        });
        letGo.Start();
        Assert.Equal(RpcitAnswer.Done, walked.Refresh(Iova, Page));

        Assert.True(Volatile.Read(ref left));
        Assert.Equal(waits + 1, walked.Waits);
        device.Join();
        letGo.Join();
    }

    [Fact]
    [Trait("Row", "S3-6")]
    public void Domain_IsNeverItsUsers()
    {
        WalkedRefresh walked = Registered();
        var memory = ProcessMemory.Allocate(Page, _rig.Rig.Host.Ledger);

        Assert.Equal(Errno.EBUSY, ErrnoOf(() => walked.Domain.Map(Iova, Page, DmaAccess.Read, memory, 0)));
        Assert.Equal(Errno.EBUSY, ErrnoOf(() => walked.Domain.Unmap(IovaRange.All)));
        memory.Release();
    }

    [Fact]
    public void Slot_ThatGoes_IsOutOfReachAtOnceAndNotPinned()
    {
        WalkedRefresh walked = Registered();
        Tables.Map(Iova, NestingTables.SecondAddress);
        walked.Refresh(Iova, Page);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        UserMemory memory = _rig.Memory.Slots.Single(s => s.Number == 2).Memory;

        _rig.Memory.Remove(2);

        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
        Assert.Throws<ObjectDisposedException>(memory.Hold);
        Assert.Equal(AllPages - (long)(NestingTables.SecondLength / Page), walked.PinnedPages);
        Assert.Equal(RpcitAnswer.Insufficient, walked.Refresh(Iova, Page));
    }

    [Fact]
    public void Deregister_OfAnAttachedDomain_LeavesNothingInReach()
    {
        WalkedRefresh walked = Registered();
        Tables.Map(Iova, Data);
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));

        walked.Deregister();

        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
        Tables.Map(Iova, Data + Page);
        Assert.Equal(Errno.None, walked.Register(Tables.Registration()));
        Assert.NotNull(NestingRig.Seen(walked.Domain, Iova));
        walked.Dispose();
        Assert.Null(NestingRig.Seen(walked.Domain, Iova));
    }

    [Fact]
    public void RefreshAndTranslate_AllocateNothing()
    {
        WalkedRefresh walked = Registered();
        for (ulong i = 0; i < 64; i++)
        {
            Tables.Map(Iova + (i * Page), Data + (i * Page));
        }

        // A collection that other tests cause may be booked in some rounds; what a call allocated itself would be there in each.
        long refreshing = long.MaxValue;
        long reading = long.MaxValue;
        byte[] data = new byte[64 * Page];
        for (int i = 0; i < 200; i++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            walked.Refresh(Iova, 64 * Page);
            long between = GC.GetAllocatedBytesForCurrentThread();
            Errno errno = walked.Domain.Read(Iova, data);
            errno = errno == Errno.None ? walked.Domain.Read(Iova, data) : errno;
            long after = GC.GetAllocatedBytesForCurrentThread();
            Assert.Equal(Errno.None, errno);
            refreshing = i < 100 ? refreshing : Math.Min(refreshing, between - before);
            reading = i < 100 ? reading : Math.Min(reading, after - between);
        }

        Assert.Equal((0, 0), (refreshing, reading));
    }

    private WalkedRefresh Registered()
    {
        WalkedRefresh walked = _rig.Walked();
        Assert.Equal(Errno.None, walked.Register(Tables.Registration()));
        return walked;
    }
}
