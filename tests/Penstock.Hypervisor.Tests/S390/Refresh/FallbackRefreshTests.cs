using Penstock.Hypervisor.Tests.S390.Model;
using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;
using Fallback = Penstock.Hypervisor.FallbackRefresh<Penstock.S390.TableWalker<Penstock.Hypervisor.GuestTableReader>>;

namespace Penstock.Hypervisor.Tests.S390.Refresh;

public sealed class FallbackRefreshTests : IDisposable
{
    private const ulong First = 0x1_0000_0000;
    private const ulong Last = 0x1_ffff_ffff;
    private const ulong Page = 0x1000;
    private const ulong Megabyte = 0x10_0000;

    private readonly FallbackRig _rig = new(new DmaAperture(First, Last));

    private GuestTables Tables => _rig.Tables;

    private RecordingNotifier Notifier => _rig.Notifier;

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_NewChangedAndGonePages_SendsTheDifference()
    {
        using Fallback mode = _rig.Register();
        Tables.Map(First, 0x5000, 2);
        Tables.Map(First + (2 * Page), 0x9000, 1, writable: false);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(["M 100000000 1000 5000 rw", "M 100001000 1000 6000 rw", "M 100002000 1000 9000 r"], Notifier.Take());

        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Empty(Notifier.Take());

        Tables.Map(First + Page, 0x7000, 1);
        Tables.Map(First + (2 * Page), 0x9000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(
            ["U 100001000 1000", "M 100001000 1000 7000 rw", "U 100002000 1000", "M 100002000 1000 9000 rw"], Notifier.Take());

        Tables.Unmap(First, 2);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(["U 100000000 2000"], Notifier.Take());
    }

    [Theory]
    [Trait("Row", "S3-2")]
    [InlineData(0x0ul, 1, new[] { "U 100000000 1000" })]
    [InlineData(0x1000ul, 7, new[] { "U 100001000 1000", "U 100002000 2000", "U 100004000 4000" })]
    [InlineData(0x3000ul, 4, new[] { "U 100003000 1000", "U 100004000 2000", "U 100006000 1000" })]
    [InlineData(0x0ul, 513, new[] { "U 100000000 200000", "U 100200000 1000" })]
    public void Refresh_InvalidPages_OneUnmapForEachPowerOfTwoBlock(ulong offset, int pages, string[] messages)
    {
        using Fallback mode = _rig.Register();
        Tables.Unmap(First, 600);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + offset, (ulong)pages * Page));
        Assert.Equal(messages, Notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_LargeFrame_MapsEachOfItsPages()
    {
        using Fallback mode = _rig.Register();
        Tables.MapFrame(First, 0x40_0000, writable: false);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + (254 * Page), 4 * Page));
        Assert.Equal(["M 1000fe000 1000 4fe000 r", "M 1000ff000 1000 4ff000 r"], Notifier.Take()[..2]);
        mode.Refresh(First, Megabyte);
        Assert.Equal(256, Notifier.Mapped.Count);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_LimitReached_MapsWhatFits_AndASecondRefreshAfterAnUnmapIsDone()
    {
        var budget = new DmaBudget(4);
        using Fallback mode = _rig.Register(budget);
        Tables.Map(First, 0x5000, 5);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 5 * Page));
        Assert.Equal(4, Notifier.Take().Length);
        Assert.Equal(0, budget.Available);

        // The page that is freed makes room for the one that had none; again the last one is used, which is an answer of its own.
        Tables.Unmap(First, 1);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 5 * Page));
        Assert.Equal(["U 100000000 1000", "M 100004000 1000 9000 rw"], Notifier.Take());

        Tables.Unmap(First + Page, 2);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 5 * Page));
        Assert.Equal(2, budget.Available);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_RoomAppearsBehindThePageThatHadNone_SecondPassMapsIt()
    {
        var budget = new DmaBudget(2);
        using Fallback mode = _rig.Register(budget);
        Tables.Map(First + (2 * Page), 0x5000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 4 * Page));
        Tables.Unmap(First + (2 * Page), 1);
        Tables.Map(First, 0x7000, 2);
        Notifier.Take();
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 4 * Page));
        Assert.Equal(["M 100000000 1000 7000 rw", "U 100002000 2000", "M 100001000 1000 8000 rw", "U 100002000 2000"], Notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_ReplacedPages_CountStaysExact_QemusDrifts()
    {
        var budget = new DmaBudget(10);
        var drifting = new DmaBudget(10);
        using Fallback mode = _rig.Register(budget);
        using Fallback qemu = _rig.Register(drifting, FallbackOptions.Qemu, new RecordingNotifier());
        for (ulong i = 1; i <= 5; i++)
        {
            Tables.Map(First, i * Page, 1);
            Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, Page));
            Assert.Equal(RpcitAnswer.Done, qemu.Refresh(First, Page));
        }

        Assert.Equal(9, budget.Available);
        Assert.Equal(5, drifting.Available);
        mode.Deregister();
        Assert.Equal(10, budget.Available);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_InvalidSegmentOrRegion_UnmapsWhatWasThere_QemuForgetsIt()
    {
        var qemuNotifier = new RecordingNotifier();
        using Fallback mode = _rig.Register();
        using Fallback qemu = _rig.Register(null, FallbackOptions.Qemu, qemuNotifier);
        foreach (IRefreshMode each in new[] { mode, qemu })
        {
            Tables.Map(First + Megabyte, 0x5000, 2);
            each.Refresh(First + Megabyte, Megabyte);
        }

        Notifier.Take();
        Tables.InvalidateSegment(First + Megabyte);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + Megabyte, Megabyte));
        Assert.Equal(["U 100100000 100000"], Notifier.Take());
        Assert.Equal(RpcitAnswer.Done, qemu.Refresh(First + Megabyte, Megabyte));
        Assert.Equal(2, qemuNotifier.Mapped.Count);

        Tables.Map(First + Megabyte, 0x5000, 2);
        mode.Refresh(First, 2 * Megabyte);
        Notifier.Take();
        Tables.InvalidateRegion(First);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 1ul << 31));
        Assert.Equal(["U 100000000 80000000"], Notifier.Take());
        Assert.Empty(Notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-2")]
    [InlineData(ZpciTableLevel.RegionThird, 0x0ul, ZpciErrorEvent.InvalidTableEntry)]
    [InlineData(ZpciTableLevel.RegionThird, 0x4004ul, ZpciErrorEvent.InvalidTableLength)]
    [InlineData(ZpciTableLevel.Segment, 0x4008ul, ZpciErrorEvent.TranslationType)]
    [InlineData(ZpciTableLevel.Page, 0x0ul, ZpciErrorEvent.InvalidTableEntry)]
    public void Refresh_WalkFails_ErrorWithTheAddressReached_AndUnmapsBeforeItAreSent(ZpciTableLevel level, ulong entry, ZpciErrorEvent fault)
    {
        using Fallback mode = _rig.Register();
        ulong at = First + (1ul << 31);
        Tables.Unmap(at - Page, 1);
        Tables.Set(at, level, entry);
        RpcitAnswer answer = mode.Refresh(at - Page, 3 * Page);
        Assert.Equal(new RpcitAnswer(ZpciConditionCode.Error, ZpciStatus.FunctionInError, fault, at), answer);
        Assert.Equal(["U 17ffff000 1000"], Notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_NothingRegistered_OrOutside_Error_AcrossABorder_Cut()
    {
        using Fallback mode = _rig.Register();
        Tables.Map(First, 0x5000, 1);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(First - Page, 0).Event);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(Last + 1, Page).Event);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(First, ulong.MaxValue).Event);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First - (16 * Page), 17 * Page));
        Assert.Equal(["M 100000000 1000 5000 rw"], Notifier.Take());

        mode.Deregister();
        mode.Deregister();
        Assert.Equal(["U 0 200000000"], Notifier.Take());
        Assert.Equal(
            new RpcitAnswer(ZpciConditionCode.Error, ZpciStatus.FunctionInError, ZpciErrorEvent.InvalidAddressSpace, First), mode.Refresh(First, Page));
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(default, new DmaAperture(First, Last))));
        Assert.Equal(Errno.EBUSY, mode.Register(new IoatRegistration(Tables.Iota, new DmaAperture(First, Last))));
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, mode.Refresh(First, Page).Event);
    }

    [Fact]
    public void Refresh_MapFails_InsufficientResources_TheOthersAreMapped_NothingIsCounted()
    {
        var budget = new DmaBudget(10);
        using Fallback mode = _rig.Register(budget);
        Notifier.Answer = static address => address == 0x6000 ? Errno.ENOMEM : Errno.None;
        Tables.Map(First, 0x5000, 3);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 3 * Page));
        Assert.Equal([First, First + (2 * Page)], Notifier.Mapped.Select(static p => p.Iova));
        Assert.Equal(8, budget.Available);
        Notifier.Answer = null;
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(7, budget.Available);
    }

    [Fact]
    public void Refresh_UnalignedStartInAnInvalidSegment_OursFindsTheNextOne_QemuJumpsOverItsBegin()
    {
        var qemuNotifier = new RecordingNotifier();
        using Fallback mode = _rig.Register();
        using Fallback qemu = _rig.Register(null, FallbackOptions.Qemu, qemuNotifier);
        Tables.InvalidateSegment(First);
        Tables.Map(First + Megabyte, 0x5000, 1);
        mode.Refresh(First + (128 * Page), Megabyte);
        qemu.Refresh(First + (128 * Page), Megabyte);
        Assert.Single(Notifier.Mapped);
        Assert.Empty(qemuNotifier.Mapped);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_RandomGuest_DeviceHasWhatTheTablesSay()
    {
        using Fallback mode = _rig.Register();
        var random = new Random(11);
        for (int step = 0; step < 250; step++)
        {
            ulong iova = First + ((ulong)random.Next(0, 4 * 256) * Page);
            int pages = random.Next(1, 40);
            switch (random.Next(10))
            {
                case 0:
                    Tables.MapFrame(iova & ~(Megabyte - 1), (ulong)random.Next(1, 8) * Megabyte, random.Next(2) == 0);
                    break;
                case 1:
                    Tables.InvalidateSegment(iova);
                    break;
                case 2:
                    Tables.Repoint(iova);
                    break;
                case 3 when (Tables.Get(iova, ZpciTableLevel.Segment) & ZpciIoTable.TableInvalid) == 0:
                    Tables.Protect(iova, ZpciTableLevel.Segment, random.Next(2) == 0);
                    break;
                case 4:
                    Tables.InvalidateRegion(iova);
                    break;
                case 5 or 6:
                    Tables.Unmap(iova, pages);
                    break;
                default:
                    Tables.Map(iova, (ulong)random.Next(1, 4000) * Page, pages, random.Next(3) != 0);
                    break;
            }

            // Lazy guests report much at once, strict ones each change; here now and then all of it.
            Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, random.Next(4) == 0 ? Last - First + 1 : 8 * Megabyte));
            Assert.Equal(Tables.Live(First, First + (8 * Megabyte) - 1), Notifier.Mapped);
        }

        Assert.Equal(Notifier.Mapped, mode.Snapshot());
        mode.Deregister();
        Assert.Empty(Notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-1")]
    [InlineData(true, 2)]
    [InlineData(false, 1)]
    public void LinuxGuest_GroupAsksForRefreshes_TellsOfMapsToo(bool asks, int refreshes)
    {
        var group = new ZpciClpQueryGroupResponse { Flags = asks ? (byte)new ZpciFunction(1, 1).Group.Flags : (byte)0 };
        using var counting = new EarlyRefusal(_rig.Register(), every: int.MaxValue);
        var guest = new LinuxIommu(Tables, counting, new DmaAperture(First, Last))
        {
            RefreshesMaps = (group.Flags & ZpciClpQueryGroupResponse.Refresh) != 0,
        };
        Assert.True(guest.Map(First, 0x5000, 2));
        Assert.Equal(asks ? 2 : 0, Notifier.Mapped.Count);
        guest.Unmap(First, 2);
        Assert.Equal(refreshes, counting.Refreshes);
        Assert.Empty(Notifier.Mapped);
    }

    [Fact]
    [Trait("Row", "S3-12")]
    public void LinuxGuest_HypervisorRunsOut_RefreshesEverythingAndGoesOn()
    {
        using Fallback mode = _rig.Register(new DmaBudget(8));
        var guest = new LinuxIommu(Tables, mode, new DmaAperture(First, Last)) { IsLazy = true };
        Assert.True(guest.Map(First, 0x5000, 7));
        guest.Unmap(First, 7);
        Assert.True(guest.Map(First + Megabyte, 0x5000, 4));
        Assert.Equal(1, guest.GlobalRefreshes);
        Assert.False(guest.Map(First + (2 * Megabyte), 0x5000, 5));
        guest.Flush();
        Assert.Equal(4, Notifier.Mapped.Count);
        Assert.Equal(Tables.Live(First, Last), Notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-12")]
    [InlineData(false)]
    [InlineData(true)]
    public void LinuxGuest_HypervisorRefusesEarly_DeviceHasWhatTheTablesSay(bool lazy)
    {
        using var strict = new EarlyRefusal(_rig.Register(), every: 3);
        var guest = new LinuxIommu(Tables, strict, new DmaAperture(First, Last)) { IsLazy = lazy };
        var random = new Random(3);
        int refused = 0;
        for (int step = 0; step < 300; step++)
        {
            ulong iova = First + ((ulong)random.Next(0, 64) * 16 * Page);
            if (random.Next(2) == 0)
            {
                guest.Unmap(iova, 16);
            }
            else if (!guest.Map(iova, (ulong)random.Next(1, 1000) * Page, random.Next(1, 17)))
            {
                refused++;
            }
        }

        // A refusal of the first refresh of a map is made good by the one of everything, so no map fails.
        Assert.Equal(0, refused);
        Assert.True(guest.GlobalRefreshes > 10);
        while (guest.Flush() != RpcitAnswer.Done)
        {
        }

        Assert.Equal(Tables.Live(First, Last), Notifier.Mapped);
    }

    [Fact]
    public void Refresh_NothingChanges_AllocatesNothing()
    {
        using Fallback mode = _rig.Register();
        Tables.Map(First, 0x5000, 64);
        mode.Refresh(First, 256 * Page);
        Notifier.Messages.Capacity = 1000;
        Notifier.Messages.Clear();
        Tables.Unmap(First + (64 * Page), 192);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 64 * Page));
        Assert.Equal(0, AllocatedBytes.In(10, _ => mode.Refresh(First, 64 * Page)));
        Assert.Empty(Notifier.Messages);
    }
}
