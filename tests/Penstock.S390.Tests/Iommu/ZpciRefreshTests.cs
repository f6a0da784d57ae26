using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390.Tests.Iommu;

public sealed class ZpciRefreshTests
{
    private const ulong Page = DomainRig.Page;
    private const ulong Start = DomainRig.Start;
    private const ulong Half = 1ul << 63;
    private const ulong LastPage = ulong.MaxValue - (Page - 1);
    private static readonly (ulong Start, ulong Length) Everything = (Start, 0x1ff_ffff_ffff - Start + 1);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    [Trait("Row", "S3-1")]
    public void Map_RefreshesOnlyFunctionsThatWantIt(bool wants)
    {
        using var rig = new DomainRig(new FakeHostFunction { RefreshesOnMap = wants });
        rig.Map(Start, 2);
        (ulong, ulong)[] expected = [(Start, 2 * Page)];
        Assert.Equal(wants ? expected : expected[..0], rig.Function.Refreshes);
        rig.Unmap(Start, 2);
        Assert.Equal(wants ? 2 : 1, rig.Function.Refreshes.Count);
        Assert.Equal(new ZpciDomainCounters(2, 2, 0, wants ? 1 : 0, 1), rig.Domain.Counters);
    }

    [Theory]
    [InlineData(ZpciStatus.InsufficientResources)]
    [InlineData(ZpciStatus.Aborted)]
    [Trait("Row", "S3-12")]
    public void Map_HypervisorIsShortOfMemory_RefreshOfEverythingDecides(ZpciStatus status)
    {
        bool helps = true;
        using var rig = new DomainRig(new FakeHostFunction
        {
            RefreshesOnMap = true,
            OnRefresh = (start, length) => (start, length) == Everything && helps ? ZpciAnswer.Done : FakeHostFunction.Error(status),
        });
        rig.Map(Start, 1);
        Assert.Equal([(Start, Page), Everything], rig.Function.Refreshes);
        helps = false;
        Assert.Equal(Errno.ENOMEM, rig.TryMap(Start + Page, 1));
        Assert.True(DomainRig.IsInvalid(rig.Domain.Entry(Start + Page)));
        Assert.Equal(1, rig.Domain.Count);
        Assert.Equal((2, 2), ((int)rig.Domain.Counters.GlobalRefreshes, (int)rig.Domain.Counters.SyncMapRefreshes));
    }

    [Fact]
    public void Map_SeveralFunctions_LastAnswerCounts()
    {
        using var rig = new DomainRig(new FakeHostFunction { RefreshesOnMap = true });
        var second = new FakeHostFunction("second") { RefreshesOnMap = true };
        IommuGroup group = rig.Iommu.AddFunction(second);
        group.Attach(rig.Domain);
        rig.Function.OnRefresh = static (_, _) => new ZpciAnswer(ZpciConditionCode.InvalidHandle);
        rig.Map(Start, 1);
        Assert.Single(second.Refreshes);
        second.OnRefresh = static (_, _) => new ZpciAnswer(ZpciConditionCode.InvalidHandle);
        Assert.Equal(Errno.EIO, rig.TryMap(Start + Page, 1));
        Assert.Equal(1, rig.Domain.Count);
        group.Detach();
    }

    [Fact]
    public void Map_SecondFunctionCannotBeTold_FirstLearnsThatTheEntriesAreGone()
    {
        using var rig = new DomainRig(new FakeHostFunction { RefreshesOnMap = true });
        var second = new FakeHostFunction("second") { RefreshesOnMap = true };
        IommuGroup group = rig.Iommu.AddFunction(second);
        group.Attach(rig.Domain);
        var seen = new List<bool>();

        // A hypervisor below keeps what it saw at the last refresh.
        rig.Function.OnRefresh = (_, _) =>
        {
            seen.Add(DomainRig.IsInvalid(rig.Domain.Entry(Start)));
            return ZpciAnswer.Done;
        };
        second.OnRefresh = static (_, _) => new ZpciAnswer(ZpciConditionCode.InvalidHandle);
        Assert.Equal(Errno.EIO, rig.TryMap(Start, 2));
        Assert.Equal([false, true], seen);
        Assert.Equal((Start, 2 * Page), rig.Function.Refreshes.Last());
        group.Detach();
    }

    [Fact]
    public void Unmap_RangeWithManyMappings_OneRefreshForEachFunctionWhateverItAnswers()
    {
        using var rig = new DomainRig();
        var second = new FakeHostFunction("second");
        IommuGroup group = rig.Iommu.AddFunction(second);
        group.Attach(rig.Domain);
        rig.Function.OnRefresh = static (_, _) => FakeHostFunction.Error(ZpciStatus.FunctionInError);
        rig.Map(Start + Page, 2);
        rig.Map(Start + (8 * Page), 1);
        Assert.Equal(3 * Page, rig.Unmap(Start, 20));
        Assert.Equal((Start + Page, 8 * Page), Assert.Single(rig.Function.Refreshes));
        Assert.Equal((Start + Page, 8 * Page), Assert.Single(second.Refreshes));
        Assert.Equal(2, rig.Domain.Counters.SyncRefreshes);
        Assert.Equal(0ul, rig.Unmap(Start, 20));
        Assert.Single(second.Refreshes);
        group.Detach();
    }

    [Theory]
    [InlineData(Page, new[] { Page, LastPage })]
    [InlineData(0ul, new[] { 0ul, Half, Half, Half })]
    public void RefreshAll_WindowUpToTheLastAddress_ReachesAllOfIt(ulong first, ulong[] told)
    {
        using var rig = new DomainRig();
        var function = new FakeHostFunction(first: first, last: ulong.MaxValue);
        using var domain = new ZpciDomain(new ZpciDomainSetup { Type = ZpciDesignationType.RegionFirst, FunctionsOf = _ => [function] });
        rig.Group.Attach(domain);
        domain.RefreshAll();
        Assert.Equal(told.Chunk(2).Select(static t => (t[0], t[1])), function.Refreshes);
        Assert.Equal(told.Length / 2, domain.Counters.GlobalRefreshes);
        rig.Group.Detach();
    }

    [Fact]
    public void Unmap_FirstAndLastPageOfAll_BothAreRefreshed()
    {
        using var rig = new DomainRig();
        var function = new FakeHostFunction(first: 0, last: ulong.MaxValue);
        using var domain = new ZpciDomain(new ZpciDomainSetup { Type = ZpciDesignationType.RegionFirst, FunctionsOf = _ => [function] });
        rig.Group.Attach(domain);
        domain.Map(0, Page, DmaAccess.Read, rig.Memory, 0);
        domain.Map(LastPage, Page, DmaAccess.Read, rig.Memory, 0);
        Assert.Equal(2 * Page, domain.Unmap(new IovaRange(0, ulong.MaxValue)));
        (ulong, ulong)[] both = [(0, Half), (Half, Half)];
        Assert.Equal(both, function.Refreshes);
        rig.Group.Detach();
    }

    [Fact]
    public void RefreshAll_OneHalfFails_IsAFailure()
    {
        using var rig = new DomainRig();
        bool helps = false;
        var function = new FakeHostFunction(first: 0, last: ulong.MaxValue)
        {
            RefreshesOnMap = true,
            OnRefresh = (start, length) => length == Page || (start != 0 && !helps) ? FakeHostFunction.Error(ZpciStatus.InsufficientResources) : ZpciAnswer.Done,
        };
        using var domain = new ZpciDomain(new ZpciDomainSetup { Type = ZpciDesignationType.RegionFirst, FunctionsOf = _ => [function] });
        rig.Group.Attach(domain);
        Assert.Equal(Errno.ENOMEM, ErrnoOf(() => domain.Map(Start, Page, DmaAccess.Read, rig.Memory, 0)));
        helps = true;
        domain.Map(Start, Page, DmaAccess.Read, rig.Memory, 0);
        rig.Group.Detach();
    }

    [Fact]
    public void Unmap_RefreshComesBeforeMemoryIsGivenBack()
    {
        using var rig = new DomainRig();
        rig.Map(Start, 1);
        int mapped = -1;
        rig.Function.OnRefresh = (_, _) =>
        {
            mapped = rig.Domain.Count;
            return ZpciAnswer.Done;
        };
        rig.Unmap(Start, 1);
        Assert.Equal((1, 0), (mapped, rig.Domain.Count));
    }

    [Fact]
    public void HostFunction_Disabled_AnswersInvalidHandle()
    {
        var zpci = new ZpciFunction(1, 1);
        var function = new ZpciHostFunction(zpci);
        Assert.Equal(ZpciAnswer.Done, function.RegisterIoat(0, 1, 0x804));
        Assert.Equal(FakeHostFunction.Error(ZpciStatus.SequenceError), function.RegisterIoat(0, 1, 0x804));
        Assert.Equal(0x804ul, function.Iota);
        Assert.Equal(ZpciAnswer.Done, function.Refresh(0, 4096));
        zpci.Disable();
        Assert.Equal(Errno.EIO, function.Refresh(0, 4096).RefreshError);
        Assert.Equal(ZpciConditionCode.InvalidHandle, function.DeregisterIoat().ConditionCode);
        Assert.Null(function.Iota);
        Assert.True(function.RegisterIoat(0, 1, 0).IsRegistered);
        Assert.Equal(2, function.Refreshes);
    }
}
