using Penstock.Specs.Zpci;
using static Penstock.Hypervisor.Tests.Tap.TappedFunction;

namespace Penstock.Hypervisor.Tests.Tap;

/// <summary>What a tap makes of a guest's calls; the plugin is the test.</summary>
public sealed class TapSessionTests : IDisposable
{
    private const ulong Page = 0x1000;
    private const uint Through = 0;
    private const uint Tell = 1;
    private const uint Done = 2;
    private const string Lent = "lend Shadow 10804 100000000 11fffffff";

    private readonly FakeTapTarget _target = new();
    private TapSession? _tap;
    private FakePlugin? _plugin;

    private TapSession Tap => _tap!;

    private FakePlugin Plugin => _plugin!;

    public void Dispose()
    {
        _plugin?.Dispose();
        _tap?.Dispose();
    }

    [Fact]
    public void Registration_OfTheListedFunction_LendsItsTablesAndAnswers()
    {
        Start(RpcitPath.Shadow);
        Plugin.Enable();
        Plugin.RegisterTables();

        Assert.Equal([Lent], _target.Calls);
        Assert.Equal(RpcitPath.Shadow, Tap.Path);
        Assert.Equal(TapFunctionMode.Ask, Plugin.Mode);
        Assert.Equal(Handle, Plugin.Handle);
        Assert.Equal((Done, 0u, (ulong)Handle << 32), Plugin.Rpcit(Handle, First, Page));
        Assert.Equal("refresh 100000000 1000", _target.Calls.Last());
        Assert.Equal(1, Tap.Counters.Asked);
    }

    [Theory]
    [InlineData(1u)]
    [InlineData(3u)]
    public void Registration_ThatQemuRefuses_IsNotAdopted(uint conditionCode)
    {
        Start(RpcitPath.Shadow);
        Plugin.Enable();
        Plugin.Mpcifc(Handle, ZpciModifyOperation.RegisterIoat, conditionCode, Iota, First, Last);

        Assert.False(Tap.HasAnchor);
        Assert.Empty(_target.Calls);
        Assert.Equal(TapFunctionMode.Through, Plugin.Mode);
    }

    [Fact]
    public void OtherFunctions_AreLeftAlone()
    {
        const uint Other = 0x8002_0001;
        Start(RpcitPath.Shadow);
        Plugin.List(FunctionId + 1, Other & ~ZpciHandle.Enabled);
        Plugin.Enable();
        Plugin.Mpcifc(Other, ZpciModifyOperation.RegisterIoat, iota: Iota, first: First, last: Last);

        Assert.Empty(_target.Calls);
        Assert.Equal(Through, Plugin.Rpcit(Other, First, Page).Action);
    }

    [Theory]
    [InlineData("deregister")]
    [InlineData("disable")]
    [InlineData("unmap")]
    [InlineData("new handle")]
    public void Registration_GoesInManyWays_TablesAreTakenBack(string way)
    {
        StartLent(RpcitPath.Shadow);
        switch (way)
        {
            case "deregister":
                Plugin.Mpcifc(Handle, ZpciModifyOperation.DeregisterIoat);
                break;
            case "disable":
                Plugin.Set(ZpciSetOperation.Disable, Handle, Disabled);
                break;
            case "unmap":
                Assert.True(Tap.IsBeyondTables(Last + 1));
                Assert.False(Tap.IsBeyondTables(Last));
                Tap.AnchorLost();
                break;
            default:
                Plugin.List(FunctionId, Disabled | 7);
                break;
        }

        Assert.Equal([Lent, "take back"], _target.Calls);
        Assert.False(Tap.HasAnchor);
        Assert.Equal(RpcitPath.Fallback, Tap.Path);
        Assert.Equal(TapFunctionMode.Through, Plugin.Mode);
    }

    [Fact]
    public void Reregistration_LendsTheNewTables()
    {
        StartLent(RpcitPath.Shadow);
        Plugin.Mpcifc(Handle, ZpciModifyOperation.ReregisterIoat, iota: 0x2_0804, first: First, last: Last);

        Assert.Equal([Lent, "take back", "lend Shadow 20804 100000000 11fffffff"], _target.Calls);
    }

    [Fact]
    public void Refresh_WhoseWalkFails_GoesToQemu()
    {
        StartLent(RpcitPath.Shadow);
        _target.Answer = RpcitAnswer.Failed(ZpciErrorEvent.InvalidTableEntry, First);

        Assert.Equal(Through, Plugin.Rpcit(Handle, First, Page).Action);
        Assert.Equal(1, Tap.Counters.LeftToQemu);
    }

    [Fact]
    public void Refresh_WithoutResources_TellsTheGuest()
    {
        StartLent(RpcitPath.Shadow);
        _target.Answer = RpcitAnswer.Insufficient;

        Assert.Equal((Done, 1u, ((ulong)Handle << 32) | 0x1000_0000), Plugin.Rpcit(Handle, First, Page));
    }

    [Fact]
    public void Nested_PluginAnswersByItself_LinesAreDrained()
    {
        StartLent(RpcitPath.Nested);
        Assert.Equal(TapFunctionMode.Ring, Plugin.Mode);

        Plugin.WriteLine(Handle, First, Page);
        Assert.True(SpinWait.SpinUntil(() => Plugin.Drained == 1, TimeSpan.FromMinutes(2)));
        Assert.Contains("drain 0 1", _target.Calls);
    }

    /// <summary>The guest is refused until it refreshes everything; the device follows its tables until QEMU has told all pages.</summary>
    [Fact]
    public void Handover_RefusesUntilTheWholeApertureWasTold()
    {
        StartLent(RpcitPath.Shadow);
        Tap.SwitchTo(RpcitPath.Fallback);

        Assert.Equal((Done, 1u, ((ulong)Handle << 32) | 0x1000_0000), Plugin.Rpcit(Handle, First, Page));
        Assert.Equal(RpcitPath.Shadow, Tap.Path);
        Assert.Equal(Tell, Plugin.Rpcit(Handle, First, Last - First + 1).Action);
        Assert.Equal(Through, Plugin.Rpcit(Handle, First + Page, Page, processor: 1).Action);
        Assert.DoesNotContain("take back", _target.Calls);

        Plugin.RpcitDone(Handle, First, Last - First + 1);
        Assert.Equal("take back", _target.Calls.Last());
        Assert.Equal(RpcitPath.Fallback, Tap.Path);
        Assert.Equal(TapFunctionMode.Through, Plugin.Mode);

        Tap.SwitchTo(RpcitPath.Shadow);
        Assert.Equal(Lent, _target.Calls.Last());
        Assert.Equal(TapFunctionMode.Ask, Plugin.Mode);
    }

    /// <summary>An interrupt before the instruction's result was told: the processor is past it all the same.</summary>
    [Fact]
    public void Handover_ResultOvertaken_NextCallOfTheProcessorEndsIt()
    {
        StartLent(RpcitPath.Shadow);
        Tap.SwitchTo(RpcitPath.Fallback);

        Assert.Equal(Tell, Plugin.Rpcit(Handle, First, Last - First + 1).Action);
        Assert.Equal(Through, Plugin.Rpcit(Handle, First + Page, Page).Action);
        Assert.Equal("take back", _target.Calls.Last());
        Assert.Equal(RpcitPath.Fallback, Tap.Path);
    }

    [Fact]
    public void Lend_ThatCannotBe_LeavesEverythingToQemu()
    {
        _target.Refusal = "nobody uses the device";
        StartLent(RpcitPath.Nested);

        Assert.Equal(RpcitPath.Fallback, Tap.Path);
        Assert.Equal(TapFunctionMode.Through, Plugin.Mode);
        Assert.Equal(0, Tap.Counters.Lent);
    }

    [Fact]
    public void PluginThatGaveUp_TablesAreTakenBackForGood()
    {
        StartLent(RpcitPath.Shadow);
        Plugin.GiveUp();
        Assert.True(SpinWait.SpinUntil(() => Tap.Path == RpcitPath.Fallback, TimeSpan.FromMinutes(2)));

        // It still refuses until the guest refreshes everything: QEMU knows no page.
        Assert.Equal(TapFunctionMode.Ask, Plugin.Mode);

        Plugin.RegisterTables();
        Assert.Equal([Lent, "take back"], _target.Calls);
    }

    /// <summary>As it does for a processor that it has no slot for, which comes before the guest runs, or later.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void PluginThatGaveUp_BeforeAnyTables_QemuDoesEverything(bool listed)
    {
        Start(RpcitPath.Nested);
        if (listed)
        {
            Plugin.Enable();
        }

        Plugin.GiveUp();
        Plugin.Enable();
        Plugin.RegisterTables();
        Tap.SwitchTo(RpcitPath.Shadow);

        Assert.Equal(Through, Plugin.Rpcit(Handle, First, Page).Action);
        Assert.Empty(_target.Calls);
        Assert.Equal(RpcitPath.Fallback, Tap.Path);
        Assert.True(Tap.IsGivenUp);
    }

    [Fact]
    public void Refresh_OfTheLastProcessorThatThereIsASlotFor_IsAnswered()
    {
        StartLent(RpcitPath.Shadow);
        Assert.Equal(Done, Plugin.Rpcit(Handle, First, Page, TapLayout.SlotCount - 1).Action);
        Assert.Equal("refresh 100000000 1000", _target.Calls.Last());
    }

    [Fact]
    public void End_GivesOwnershipBack()
    {
        StartLent(RpcitPath.Shadow);
        Assert.True(Plugin.HasOwner);

        Tap.Dispose();

        Assert.False(Plugin.HasOwner);
        Assert.Equal("take back", _target.Calls.Last());
        Assert.Equal(TapFunctionMode.Ask, Plugin.Mode);
    }

    /// <summary>A defect of ours: the guest is refused by the plugin, and QEMU told every page.</summary>
    [Fact]
    public void Refresh_ThatThrows_EndsTheTap()
    {
        StartLent(RpcitPath.Shadow);
        _target.Fault = new InvalidOperationException("a defect");

        Assert.Equal(uint.MaxValue, Plugin.Rpcit(Handle, First, Page).Action);
        Assert.False(Plugin.HasOwner);
        Assert.True(SpinWait.SpinUntil(() => _target.Calls.Last() == "take back", TimeSpan.FromMinutes(2)));
        Assert.Equal(TapFunctionMode.Ask, Plugin.Mode);
    }

    /// <summary>Between two fast paths QEMU tells every page too: the device follows its messages for a moment.</summary>
    [Fact]
    public void Switch_FromOneFastPathToTheOther_GoesByQemu()
    {
        StartLent(RpcitPath.Shadow);
        Tap.SwitchTo(RpcitPath.Nested);

        Assert.Equal(RpcitPath.Shadow, Tap.Path);
        Assert.Equal(1u, Plugin.Rpcit(Handle, First, Page).ConditionCode);
        Assert.Equal(Tell, Plugin.Rpcit(Handle, First, Last - First + 1).Action);
        Assert.DoesNotContain("take back", _target.Calls);
        Plugin.RpcitDone(Handle, First, Last - First + 1);

        Assert.Equal(["take back", Lent.Replace("Shadow", "Nested", StringComparison.Ordinal)], _target.Calls.TakeLast(2));
        Assert.Equal(RpcitPath.Nested, Tap.Path);
        Assert.Equal(TapFunctionMode.Ring, Plugin.Mode);
    }

    [Theory]
    [InlineData(RpcitPath.Shadow, TapFunctionMode.Ask)]
    [InlineData(RpcitPath.Nested, TapFunctionMode.Ring)]
    internal void Switch_BackBeforeTheHandover_NothingIsTakenBack(RpcitPath path, TapFunctionMode mode)
    {
        StartLent(path);
        Tap.SwitchTo(RpcitPath.Fallback);
        Assert.Equal(1u, Plugin.Rpcit(Handle, First, Page).ConditionCode);
        Tap.SwitchTo(path);

        Assert.Equal(mode, Plugin.Mode);
        Assert.Equal((Done, 0u, (ulong)Handle << 32), Plugin.Rpcit(Handle, First, Page));
        Assert.DoesNotContain("take back", _target.Calls);
    }

    /// <summary>QEMU refuses these; a guest may show the plugin other ones than QEMU.</summary>
    [Theory]
    [InlineData(Last, First)]
    [InlineData(0ul, ulong.MaxValue)]
    [InlineData(0ul, 1ul << 42)]
    public void Registration_OfAddressesThatCannotBe_StaysWithQemu(ulong first, ulong last)
    {
        Start(RpcitPath.Nested);
        Plugin.Enable();
        Plugin.Mpcifc(Handle, ZpciModifyOperation.RegisterIoat, iota: Iota, first: first, last: last);

        Assert.False(Tap.HasAnchor);
        Assert.Empty(_target.Calls);
        Assert.Equal(TapFunctionMode.Through, Plugin.Mode);
    }

    /// <summary>Whatever stands in the shared memory: an answer comes, and nothing else happens.</summary>
    [Fact]
    public void Nonsense_IsLeftToQemu()
    {
        Start(RpcitPath.Shadow);
        Plugin.Enable();
        var random = new Random(5);
        byte[] data = new byte[256];
        for (int i = 0; i < 2000; i++)
        {
            random.NextBytes(data);
            uint length = random.Next(3) switch { 0 => (uint)random.Next(257), 1 => uint.MaxValue, _ => 256 };
            Assert.NotEqual(Done, Plugin.Call((TapCallKind)random.Next(8), (ulong)random.NextInt64(), (ulong)random.Next(300), 0, 0, (uint)random.Next(), data, length).Action);
        }

        Assert.Empty(_target.Calls);
        Plugin.RegisterTables();
        Assert.Equal([Lent], _target.Calls);
    }

    private void Start(RpcitPath path)
    {
        _tap = new TapSession(new TapSessionOptions { FunctionId = FunctionId, Path = path, Target = _target });
        _plugin = new FakePlugin(_tap);
        _tap.Start();
    }

    private void StartLent(RpcitPath path)
    {
        Start(path);
        Plugin.Enable();
        Plugin.RegisterTables();
    }
}
