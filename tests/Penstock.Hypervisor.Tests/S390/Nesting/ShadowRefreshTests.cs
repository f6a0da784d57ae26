using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

public sealed class ShadowRefreshTests : IDisposable
{
    private const ulong Page = NestingRig.Page;
    private const ulong Iova = NestingRig.Iova;
    private const ulong Data = 8ul << 20;

    // The first table, a segment table, and the page of a page table.
    private const long TablePages = 4 + 4 + 1;

    // What the shadow itself and the host have for the first MiB with a page in it.
    private const int OwnPages = 10;

    private readonly NestingRig _rig = new();

    private NestingTables Tables => _rig.Tables;

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-4")]
    [Trait("Row", "S3-5")]
    public void Refresh_PinsEachTableOnceAndEachPageOncePerEntry()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Assert.Equal(4, shadow.Pins);
        Tables.Map(Iova, Data);
        Tables.Map(Iova + Page, Data + Page);
        Tables.Map(Iova + (2 * Page), Data);

        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 3 * Page));

        Assert.Equal((TablePages + 3, TablePages + 2, 3), (shadow.Pins, shadow.PinnedPages, shadow.Entries));
        Assert.Equal(3, target.Pages);
        shadow.Deregister();
        Assert.Equal((0, 0, 0), (shadow.Pins, shadow.PinnedPages, shadow.Entries));
        Assert.Equal(0, target.Pages);
    }

    [Fact]
    [Trait("Row", "S3-3")]
    public void Refresh_OfWhatIsThere_ChangesNothingAndRefreshesNobody()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Tables.Map(Iova, Data);
        shadow.Refresh(Iova, Page);
        long pins = shadow.Pins;
        int refreshes = target.Refreshes;

        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, Page));

        Assert.Equal((pins, refreshes, 0), (shadow.Pins, target.Refreshes, shadow.Changed));
    }

    [Fact]
    [Trait("Row", "S3-5")]
    public void Refresh_OfNewEntries_NeedsNoHostRefreshAndOfChangedOnesOneForTheRange()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Tables.Map(Iova, Data);
        Tables.Map(Iova + Page, Data + Page);
        shadow.Refresh(Iova, 2 * Page);
        Assert.Equal(0, target.Refreshes);

        Tables.Map(Iova, Data + (5 * Page));
        Tables.Unmap(Iova + Page);
        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 4 * Page));

        Assert.Equal((1, 2L), (target.Refreshes, shadow.Changed));
        Assert.Equal((Iova, Iova + (4 * Page) - 1), target.Refreshed);
        Assert.Equal((TablePages + 1, 1L), (shadow.Pins, shadow.Entries));
    }

    [Fact]
    [Trait("Row", "S3-5")]
    public void Refresh_ProtectBits_AreThoseOfEveryLevel()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Tables.Map(Iova, Data, writable: false);
        Tables.Map(Iova + Page, Data);
        shadow.Refresh(Iova, 2 * Page);
        Assert.Equal((false, true), (NestingRig.Seen(target, Iova)!.Value.Writable, NestingRig.Seen(target, Iova + Page)!.Value.Writable));

        ulong region = Tables.RegionEntry(Iova);
        Tables.Write(region, Tables.Read(region) | ZpciIoTable.Protected);
        long pins = shadow.Pins;
        shadow.Refresh(Iova, 2 * Page);

        Assert.False(NestingRig.Seen(target, Iova + Page)!.Value.Writable);
        Assert.Equal((pins, 1), (shadow.Pins, target.Refreshes));
    }

    [Fact]
    [Trait("Row", "S3-4")]
    public void Refresh_AfterATableWasRepointed_PinsTheNewOneInsteadOfTheOld()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Tables.Map(Iova, Data);
        shadow.Refresh(Iova, Page);
        Tables.NewTable();
        ulong other = Tables.NewPageTable();
        Tables.Write(other, Data + Page);
        ulong segment = NestingTables.EntryIn(Tables.Read(Tables.RegionEntry(Iova)) & ZpciIoTable.RegionOrigin, Iova, ZpciTableLevel.Segment);

        Tables.Write(segment, other);
        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, Page));

        Assert.Equal((TablePages + 1, TablePages + 1), (shadow.Pins, shadow.PinnedPages));
        Assert.Equal(_rig.Tables.Read(Data + Page), Value(target, Iova));
    }

    [Fact]
    [Trait("Row", "S3-3")]
    public void Refresh_MissingTables_AreSkippedAndTheRestIsDone()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        ulong far = Iova + (1ul << 31) + (3 * ZpciIoTable.SegmentSize);
        Tables.Map(far, Data);

        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 4ul << 30));

        Assert.NotNull(NestingRig.Seen(target, far));
        Tables.Write(Tables.RegionEntry(far), ZpciIoTable.TableInvalid);
        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 4ul << 30));
        Assert.Equal((4L, 0L, 0), (shadow.Pins, shadow.Entries, target.Pages));
    }

    [Fact]
    [Trait("Row", "S3-3")]
    public void Refresh_OfALargeFrame_PinsItsPages()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        Tables.PageEntry(Iova);
        ulong segment = NestingTables.EntryIn(Tables.Read(Tables.RegionEntry(Iova)) & ZpciIoTable.RegionOrigin, Iova, ZpciTableLevel.Segment);
        Tables.Write(segment, Data | ZpciIoTable.LargeFrame);

        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova + (16 * Page), 100 * Page));

        Assert.Equal((8 + 100, 100), (shadow.Pins, target.Pages));
    }

    [Fact]
    [Trait("Row", "S3-4")]
    public void Refresh_OverTheLimitOfLockedMemory_IsStatus16AndKeepsNothingOfWhatFailed()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target, (ulong)TablePages + OwnPages + 4);
        for (ulong i = 0; i < 5; i++)
        {
            Tables.Map(Iova + (i * Page), Data + (i * Page));
        }

        Assert.Equal(RpcitAnswer.Insufficient, shadow.Refresh(Iova, 5 * Page));
        Assert.Equal((TablePages + 4, 4L, 4), (shadow.PinnedPages, shadow.Entries, target.Pages));

        // What the guest gives back later in the range is enough for a page before it.
        Tables.Unmap(Iova + Page);
        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, 5 * Page));
        Assert.Equal((TablePages + 4, 4L), (shadow.PinnedPages, shadow.Entries));
    }

    /// <summary>One page table in many places: next to nothing of the guest's memory, and a table of ours for each place.</summary>
    [Fact]
    [Trait("Row", "S3-4")]
    public void Refresh_TablesThatCostMoreThanThePayerMayLock_IsStatus16()
    {
        const int Places = 10;
        const long Room = OwnPages + 4;
        LockedPages payer = _rig.Payer((ulong)TablePages + 1 + Room);
        ShadowRefresh shadow = _rig.Own(new ShadowRefresh(_rig.Memory, payer, static _ => new FakeHostTables(), null));
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        Tables.Map(Iova, Data);
        ulong segments = Tables.Read(Tables.RegionEntry(Iova)) & ZpciIoTable.RegionOrigin;
        ulong pages = Tables.Read(NestingTables.EntryIn(segments, Iova, ZpciTableLevel.Segment));
        for (ulong i = 1; i < Places; i++)
        {
            Tables.Write(NestingTables.EntryIn(segments, Iova + (i * ZpciIoTable.SegmentSize), ZpciTableLevel.Segment), pages);
        }

        // Each place more costs a little more than a page.
        Assert.Equal(RpcitAnswer.Insufficient, shadow.Refresh(Iova, Places * ZpciIoTable.SegmentSize));
        Assert.Equal((TablePages + 1, 5L, TablePages + 1 + Room), (shadow.PinnedPages, shadow.Entries, payer.Count));

        // Its tables stay until its end, and so does what they cost.
        shadow.Deregister();
        Assert.Equal((0, Room), (shadow.PinnedPages, payer.Count));
        shadow.Dispose();
        Assert.Equal(0, payer.Count);
    }

    [Fact]
    public void Refresh_WithoutMemoryForHostTables_IsStatus16AndPinsNoMore()
    {
        ShadowRefresh shadow = Registered(out FakeHostTables target);
        target.Room = 2;
        for (ulong i = 0; i < 4; i++)
        {
            Tables.Map(Iova + (i * Page), Data + (i * Page));
        }

        Assert.Equal(RpcitAnswer.Insufficient, shadow.Refresh(Iova, 4 * Page));
        Assert.Equal((TablePages + 2, 2L), (shadow.Pins, shadow.Entries));
    }

    [Fact]
    public void Register_WhatItCannotFollow_IsRefusedAndLeavesNothing()
    {
        ShadowRefresh shadow = _rig.Shadow(out FakeHostTables _, limitPages: 3);
        var aperture = new DmaAperture(Iova, Iova + (1ul << 30) - 1);

        Assert.Equal(Errno.EOPNOTSUPP, shadow.Register(new IoatRegistration(default, aperture)));
        Assert.Equal(Errno.EOPNOTSUPP, shadow.Register(new IoatRegistration(Iota.Of(Tables.Root, ZpciDesignationType.RegionSecond), aperture)));
        Assert.Equal(Errno.EFAULT, shadow.Register(new IoatRegistration(Iota.Of(NestingTables.ReadOnlyAddress, ZpciDesignationType.RegionThird), aperture)));
        Assert.Equal(Errno.ENOMEM, shadow.Register(Tables.Registration()));
        Assert.Equal((0, 0), (shadow.Pins, shadow.PinnedPages));
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, shadow.Refresh(Iova, Page).Event);

        ShadowRefresh other = Registered(out FakeHostTables _);
        Assert.Equal(Errno.EBUSY, other.Register(Tables.Registration()));
    }

    [Fact]
    [Trait("Row", "S3-6")]
    [Trait("Row", "S3-7")]
    public void Domain_WhileItIsLent_IsNotItsUsers()
    {
        using var domain = new ZpciDomain(new ZpciDomainSetup { Ledger = _rig.Rig.Host.Ledger });
        var memory = ProcessMemory.Allocate(Page, _rig.Rig.Host.Ledger);
        using (var shadow = new ShadowRefresh(_rig.Memory, _rig.Payer(1000), domain))
        {
            Assert.Same(shadow, domain.LentTo);
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => domain.Map(Iova, Page, DmaAccess.Read, memory, 0)));
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => domain.Unmap(new IovaRange(Iova, Iova + Page - 1))));
            Assert.Equal(Errno.EBUSY, ErrnoOf(() => _ = new ShadowRefresh(_rig.Memory, _rig.Payer(1000), domain)));
            Tables.Map(Iova, Data);
            Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
            Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, Page));
            Assert.NotNull(NestingRig.Seen(domain, Iova));
        }

        Assert.Null(domain.LentTo);
        Assert.Null(NestingRig.Seen(domain, Iova));
        domain.Map(Iova, Page, DmaAccess.Read, memory, 0);
        memory.Release();
    }

    [Fact]
    [Trait("Row", "S3-4")]
    public void Slot_ThatGoesWhileItsPagesAreInTheShadow_StaysUntilTheyAreTakenOut()
    {
        ShadowRefresh shadow = _rig.Shadow(out ZpciDomain domain);
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        Tables.Map(Iova, NestingTables.SecondAddress);
        Tables.Write(NestingTables.SecondAddress, 0x1234);
        Assert.Equal(RpcitAnswer.Done, shadow.Refresh(Iova, Page));
        UserMemory memory = _rig.Memory.Slots.Single(s => s.Number == 2).Memory;

        _rig.Memory.Remove(2);

        Assert.Equal(0x1234ul, Value(domain, Iova));
        Assert.Equal(RpcitAnswer.Insufficient, shadow.Refresh(Iova, Page));
        Assert.Null(NestingRig.Seen(domain, Iova));
        Assert.Throws<ObjectDisposedException>(memory.Hold);
    }

    [Fact]
    public void Refresh_OfMappedPages_AllocatesNothing()
    {
        ShadowRefresh shadow = _rig.Shadow(out ZpciDomain _);
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        long least = long.MaxValue;
        void Round(int rounds)
        {
            for (int i = 0; i < rounds; i++)
            {
                for (ulong page = 0; page < 64; page++)
                {
                    Tables.Map(Iova + (page * Page), Data + (((page + (ulong)i) % 64) * Page));
                }

                long before = GC.GetAllocatedBytesForCurrentThread();
                shadow.Refresh(Iova, 64 * Page);
                shadow.Refresh(Iova, 64 * Page);
                long after = GC.GetAllocatedBytesForCurrentThread();
                least = i < 20 ? least : Math.Min(least, after - before);
            }
        }

        Round(60);

        // A collection that other tests cause may be booked in some; what a refresh allocated itself would be there in each.
        Assert.Equal(0, least);
        Assert.Equal(64, shadow.Entries);
    }

    private static ulong Value(TranslatingDomain domain, ulong iova)
    {
        Span<byte> bytes = stackalloc byte[8];
        Assert.Equal(Errno.None, domain.Read(iova, bytes));
        return System.Buffers.Binary.BinaryPrimitives.ReadUInt64BigEndian(bytes);
    }

    private ShadowRefresh Registered(out FakeHostTables target, ulong limitPages = 1_000_000)
    {
        ShadowRefresh shadow = _rig.Shadow(out target, limitPages);
        Assert.Equal(Errno.None, shadow.Register(Tables.Registration()));
        return shadow;
    }
}
