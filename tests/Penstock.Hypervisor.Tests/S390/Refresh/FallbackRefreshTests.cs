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

    private readonly HypervisorRig _rig = new();
    private readonly RecordingNotifier _notifier = new();
    private readonly GuestTables _tables;

    public FallbackRefreshTests()
    {
        ProcessMemory memory = ProcessMemory.Allocate(64 << 20, _rig.Host.Ledger);
        _rig.Vm.Memory.Add(new GuestMemorySlot(0, 0, memory.Length, memory));
        memory.Release();
        _tables = GuestMemoryTables.Create(_rig.Vm.Memory, 16 << 20, 32 << 20);
    }

    public void Dispose() => _rig.Dispose();

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_NewChangedAndGonePages_SendsTheDifference()
    {
        using Fallback mode = Registered();
        _tables.Map(First, 0x5000, 2);
        _tables.Map(First + (2 * Page), 0x9000, 1, writable: false);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(["M 100000000 1000 5000 rw", "M 100001000 1000 6000 rw", "M 100002000 1000 9000 r"], _notifier.Take());

        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Empty(_notifier.Take());

        _tables.Map(First + Page, 0x7000, 1);
        _tables.Map(First + (2 * Page), 0x9000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(
            ["U 100001000 1000", "M 100001000 1000 7000 rw", "U 100002000 1000", "M 100002000 1000 9000 rw"], _notifier.Take());

        _tables.Unmap(First, 2);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(["U 100000000 2000"], _notifier.Take());
    }

    [Theory]
    [Trait("Row", "S3-2")]
    [InlineData(0x0ul, 1, new[] { "U 100000000 1000" })]
    [InlineData(0x1000ul, 7, new[] { "U 100001000 1000", "U 100002000 2000", "U 100004000 4000" })]
    [InlineData(0x3000ul, 4, new[] { "U 100003000 1000", "U 100004000 2000", "U 100006000 1000" })]
    [InlineData(0x0ul, 513, new[] { "U 100000000 200000", "U 100200000 1000" })]
    public void Refresh_InvalidPages_OneUnmapForEachPowerOfTwoBlock(ulong offset, int pages, string[] messages)
    {
        using Fallback mode = Registered();
        _tables.Unmap(First, 600);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + offset, (ulong)pages * Page));
        Assert.Equal(messages, _notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_LargeFrame_MapsEachOfItsPages()
    {
        using Fallback mode = Registered();
        _tables.MapFrame(First, 0x40_0000, writable: false);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + (254 * Page), 4 * Page));
        Assert.Equal(["M 1000fe000 1000 4fe000 r", "M 1000ff000 1000 4ff000 r"], _notifier.Take()[..2]);
        mode.Refresh(First, Megabyte);
        Assert.Equal(256, _notifier.Mapped.Count);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_LimitReached_MapsWhatFits_AndASecondRefreshAfterAnUnmapIsDone()
    {
        var budget = new DmaBudget(4);
        using Fallback mode = Registered(budget);
        _tables.Map(First, 0x5000, 5);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 5 * Page));
        Assert.Equal(4, _notifier.Take().Length);
        Assert.Equal(0, budget.Available);

        // The page that is freed makes room for the one that had none; again the last one is used, which is an answer of its own.
        _tables.Unmap(First, 1);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 5 * Page));
        Assert.Equal(["U 100000000 1000", "M 100004000 1000 9000 rw"], _notifier.Take());

        _tables.Unmap(First + Page, 2);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 5 * Page));
        Assert.Equal(2, budget.Available);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_RoomAppearsBehindThePageThatHadNone_SecondPassMapsIt()
    {
        var budget = new DmaBudget(2);
        using Fallback mode = Registered(budget);
        _tables.Map(First + (2 * Page), 0x5000, 1);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 4 * Page));
        _tables.Unmap(First + (2 * Page), 1);
        _tables.Map(First, 0x7000, 2);
        _notifier.Take();
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 4 * Page));
        Assert.Equal(["M 100000000 1000 7000 rw", "U 100002000 2000", "M 100001000 1000 8000 rw", "U 100002000 2000"], _notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_ReplacedPages_CountStaysExact_QemusDrifts()
    {
        var budget = new DmaBudget(10);
        var drifting = new DmaBudget(10);
        using Fallback mode = Registered(budget);
        using Fallback qemu = Registered(drifting, FallbackOptions.Qemu, new RecordingNotifier());
        for (ulong i = 1; i <= 5; i++)
        {
            _tables.Map(First, i * Page, 1);
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
        using Fallback mode = Registered();
        using Fallback qemu = Registered(null, FallbackOptions.Qemu, qemuNotifier);
        foreach (IRefreshMode each in new[] { mode, qemu })
        {
            _tables.Map(First + Megabyte, 0x5000, 2);
            each.Refresh(First + Megabyte, Megabyte);
        }

        _notifier.Take();
        _tables.InvalidateSegment(First + Megabyte);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First + Megabyte, Megabyte));
        Assert.Equal(["U 100100000 100000"], _notifier.Take());
        Assert.Equal(RpcitAnswer.Done, qemu.Refresh(First + Megabyte, Megabyte));
        Assert.Equal(2, qemuNotifier.Mapped.Count);

        _tables.Map(First + Megabyte, 0x5000, 2);
        mode.Refresh(First, 2 * Megabyte);
        _notifier.Take();
        _tables.InvalidateRegion(First);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 1ul << 31));
        Assert.Equal(["U 100000000 80000000"], _notifier.Take());
        Assert.Empty(_notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-2")]
    [InlineData(ZpciTableLevel.RegionThird, 0x0ul, ZpciErrorEvent.InvalidTableEntry)]
    [InlineData(ZpciTableLevel.RegionThird, 0x4004ul, ZpciErrorEvent.InvalidTableLength)]
    [InlineData(ZpciTableLevel.Segment, 0x4008ul, ZpciErrorEvent.TranslationType)]
    [InlineData(ZpciTableLevel.Page, 0x0ul, ZpciErrorEvent.InvalidTableEntry)]
    public void Refresh_WalkFails_ErrorWithTheAddressReached_AndUnmapsBeforeItAreSent(ZpciTableLevel level, ulong entry, ZpciErrorEvent fault)
    {
        using Fallback mode = Registered();
        ulong at = First + (1ul << 31);
        _tables.Unmap(at - Page, 1);
        _tables.Set(at, level, entry);
        RpcitAnswer answer = mode.Refresh(at - Page, 3 * Page);
        Assert.Equal(new RpcitAnswer(ZpciConditionCode.Error, ZpciStatus.FunctionInError, fault, at), answer);
        Assert.Equal(["U 17ffff000 1000"], _notifier.Take());
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_NothingRegistered_OrOutside_Error_AcrossABorder_Cut()
    {
        using Fallback mode = Registered();
        _tables.Map(First, 0x5000, 1);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(First - Page, 0).Event);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(Last + 1, Page).Event);
        Assert.Equal(ZpciErrorEvent.AddressOutOfRange, mode.Refresh(First, ulong.MaxValue).Event);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First - (16 * Page), 17 * Page));
        Assert.Equal(["M 100000000 1000 5000 rw"], _notifier.Take());

        mode.Deregister();
        mode.Deregister();
        Assert.Equal(["U 0 200000000"], _notifier.Take());
        Assert.Equal(
            new RpcitAnswer(ZpciConditionCode.Error, ZpciStatus.FunctionInError, ZpciErrorEvent.InvalidAddressSpace, First), mode.Refresh(First, Page));
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(default, new DmaAperture(First, Last))));
        Assert.Equal(Errno.EBUSY, mode.Register(new IoatRegistration(_tables.Iota, new DmaAperture(First, Last))));
        Assert.Equal(ZpciErrorEvent.InvalidAddressSpace, mode.Refresh(First, Page).Event);
    }

    [Fact]
    public void Refresh_MapFails_InsufficientResources_TheOthersAreMapped_NothingIsCounted()
    {
        var budget = new DmaBudget(10);
        using Fallback mode = Registered(budget);
        _notifier.Answer = static address => address == 0x6000 ? Errno.ENOMEM : Errno.None;
        _tables.Map(First, 0x5000, 3);
        Assert.Equal(RpcitAnswer.Insufficient, mode.Refresh(First, 3 * Page));
        Assert.Equal([First, First + (2 * Page)], _notifier.Mapped.Select(static p => p.Iova));
        Assert.Equal(8, budget.Available);
        _notifier.Answer = null;
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 3 * Page));
        Assert.Equal(7, budget.Available);
    }

    [Fact]
    public void Refresh_UnalignedStartInAnInvalidSegment_OursFindsTheNextOne_QemuJumpsOverItsBegin()
    {
        var qemuNotifier = new RecordingNotifier();
        using Fallback mode = Registered();
        using Fallback qemu = Registered(null, FallbackOptions.Qemu, qemuNotifier);
        _tables.InvalidateSegment(First);
        _tables.Map(First + Megabyte, 0x5000, 1);
        mode.Refresh(First + (128 * Page), Megabyte);
        qemu.Refresh(First + (128 * Page), Megabyte);
        Assert.Single(_notifier.Mapped);
        Assert.Empty(qemuNotifier.Mapped);
    }

    [Fact]
    [Trait("Row", "S3-2")]
    public void Refresh_RandomGuest_DeviceHasWhatTheTablesSay()
    {
        using Fallback mode = Registered();
        var random = new Random(11);
        for (int step = 0; step < 250; step++)
        {
            ulong iova = First + ((ulong)random.Next(0, 4 * 256) * Page);
            int pages = random.Next(1, 40);
            switch (random.Next(10))
            {
                case 0:
                    _tables.MapFrame(iova & ~(Megabyte - 1), (ulong)random.Next(1, 8) * Megabyte, random.Next(2) == 0);
                    break;
                case 1:
                    _tables.InvalidateSegment(iova);
                    break;
                case 2:
                    _tables.Repoint(iova);
                    break;
                case 3 when (_tables.Get(iova, ZpciTableLevel.Segment) & ZpciIoTable.TableInvalid) == 0:
                    _tables.Protect(iova, ZpciTableLevel.Segment, random.Next(2) == 0);
                    break;
                case 4:
                    _tables.InvalidateRegion(iova);
                    break;
                case 5 or 6:
                    _tables.Unmap(iova, pages);
                    break;
                default:
                    _tables.Map(iova, (ulong)random.Next(1, 4000) * Page, pages, random.Next(3) != 0);
                    break;
            }

            // Lazy guests report much at once, strict ones each change; here now and then all of it.
            Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, random.Next(4) == 0 ? Last - First + 1 : 8 * Megabyte));
            Assert.Equal(_tables.Live(First, First + (8 * Megabyte) - 1), _notifier.Mapped);
        }

        Assert.Equal(_notifier.Mapped, mode.Snapshot());
        mode.Deregister();
        Assert.Empty(_notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-1")]
    [InlineData(true, 2)]
    [InlineData(false, 1)]
    public void LinuxGuest_GroupAsksForRefreshes_TellsOfMapsToo(bool asks, int refreshes)
    {
        var group = new ZpciClpQueryGroupResponse { Flags = asks ? (byte)new ZpciFunction(1, 1).Group.Flags : (byte)0 };
        using var counting = new EarlyRefusal(Registered(), every: int.MaxValue);
        var guest = new LinuxIommu(_tables, counting, new DmaAperture(First, Last))
        {
            RefreshesMaps = (group.Flags & ZpciClpQueryGroupResponse.Refresh) != 0,
        };
        Assert.True(guest.Map(First, 0x5000, 2));
        Assert.Equal(asks ? 2 : 0, _notifier.Mapped.Count);
        guest.Unmap(First, 2);
        Assert.Equal(refreshes, counting.Refreshes);
        Assert.Empty(_notifier.Mapped);
    }

    [Fact]
    [Trait("Row", "S3-12")]
    public void LinuxGuest_HypervisorRunsOut_RefreshesEverythingAndGoesOn()
    {
        using Fallback mode = Registered(new DmaBudget(8));
        var guest = new LinuxIommu(_tables, mode, new DmaAperture(First, Last)) { IsLazy = true };
        Assert.True(guest.Map(First, 0x5000, 7));
        guest.Unmap(First, 7);
        Assert.True(guest.Map(First + Megabyte, 0x5000, 4));
        Assert.Equal(1, guest.GlobalRefreshes);
        Assert.False(guest.Map(First + (2 * Megabyte), 0x5000, 5));
        guest.Flush();
        Assert.Equal(4, _notifier.Mapped.Count);
        Assert.Equal(_tables.Live(First, Last), _notifier.Mapped);
    }

    [Theory]
    [Trait("Row", "S3-12")]
    [InlineData(false)]
    [InlineData(true)]
    public void LinuxGuest_HypervisorRefusesEarly_DeviceHasWhatTheTablesSay(bool lazy)
    {
        using var strict = new EarlyRefusal(Registered(), every: 3);
        var guest = new LinuxIommu(_tables, strict, new DmaAperture(First, Last)) { IsLazy = lazy };
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

        Assert.Equal(_tables.Live(First, Last), _notifier.Mapped);
    }

    [Fact]
    public void Refresh_NothingChanges_AllocatesNothing()
    {
        using Fallback mode = Registered();
        _tables.Map(First, 0x5000, 64);
        mode.Refresh(First, 256 * Page);
        _notifier.Messages.Capacity = 1000;
        _notifier.Messages.Clear();
        _tables.Unmap(First + (64 * Page), 192);
        Assert.Equal(RpcitAnswer.Done, mode.Refresh(First, 64 * Page));
        Assert.Equal(0, AllocatedBytes.In(10, _ => mode.Refresh(First, 64 * Page)));
        Assert.Empty(_notifier.Messages);
    }

    private Fallback Registered(
        DmaBudget? budget = null, FallbackOptions? options = null, RecordingNotifier? notifier = null)
    {
        var walker = new TableWalker<GuestTableReader>(new GuestTableReader(_rig.Vm.Memory));
        var mode = new Fallback(walker, notifier ?? _notifier, budget, options);
        Assert.Equal(Errno.None, mode.Register(new IoatRegistration(_tables.Iota, new DmaAperture(First, Last))));
        return mode;
    }
}
