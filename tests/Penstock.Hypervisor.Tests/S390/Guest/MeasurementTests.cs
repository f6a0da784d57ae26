using Penstock.Interop;
using Penstock.S390;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor.Tests.S390.Guest;

/// <summary>Measurement blocks: counters that the guest finds in its memory.</summary>
public sealed class MeasurementTests : IDisposable
{
    private const ulong Block = 0xa000;
    private const int MicrosecondShift = 12;
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(ZpciLimits.MeasurementInterval);

    private readonly ZpciGuestRig _rig = new();
    private readonly ZpciGuestFunction _function;

    public MeasurementTests() => _function = _rig.PlugEnabled();

    public void Dispose() => _rig.Dispose();

    [Fact]
    public void Update_AtEachInterval_CountersAndTimeWithTheUpdateBitClear()
    {
        Set(Block);
        _rig.Clock.Advance(Interval - TimeSpan.FromMilliseconds(1));
        Assert.Equal(0u, Read().Samples);
        for (int i = 0; i < 3; i++)
        {
            _rig.Bus.Load(2, ZpciGuestRig.Request(_function, length: 4), 0);
            _rig.Bus.Store(2, ZpciGuestRig.Request(_function, length: 4), 0, 0);
        }

        _rig.Bus.Store(2, ZpciGuestRig.Request(_function, length: 4), 0, 0);
        _rig.Bus.StoreBlock(ZpciGuestRig.Request(_function, length: 16), 0, 0x1000);
        _rig.Bus.Load(2, ZpciGuestRig.Request(_function, length: 0), 0);
        _rig.Clock.Advance(TimeSpan.FromMilliseconds(1));
        ZpciFmb found = Read();
        Assert.Equal((1u, 3ul, 4ul, 1ul, 0ul), (found.Samples, found.Loads, found.Stores, found.BlockStores, found.Refreshes));
        Assert.Equal(0, found.Format);
        Assert.Equal(0ul, found.LastUpdate & ZpciFmb.Updating);
        TimeSpan since1900 = _rig.Clock.GetUtcNow() - new DateTimeOffset(1900, 1, 1, 0, 0, 0, TimeSpan.Zero);
        Assert.Equal((ulong)since1900.TotalMicroseconds, found.LastUpdate >> MicrosecondShift);
        _rig.Clock.Advance(Interval);
        Assert.Equal(2u, Read().Samples);
    }

    [Theory]
    [InlineData(1000, 4000)]
    [InlineData(6000, 6000)]
    public void Update_HostsIntervalIsAnother_TheLongerOneCounts(ushort host, int milliseconds)
    {
        ZpciFunction known = _rig.HostFunction(40, 40);
        var zpci = new ZpciFunction(40, 40) { Firmware = known.Firmware, Base = known.Base with { GroupId = 9 }, Group = known.Group with { MeasurementInterval = host } };
        ZpciGuestFunction function = _rig.PlugEnabled(zpci: zpci);
        _rig.Modify(function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = Block });
        _rig.Clock.Advance(TimeSpan.FromMilliseconds(milliseconds - 1));
        Assert.Equal(0u, Read().Samples);
        _rig.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(1u, Read().Samples);
    }

    [Fact]
    public void Update_Refreshes_AreCountedOnlyWhenTheyWork()
    {
        Set(Block);
        Assert.Equal(ZpciConditionCode.Done, _rig.Modify(_function, ZpciModifyOperation.RegisterIoat, ControlsTests.Ioat(0x10_0000 | ZpciIota.RegionThirdFlags)).ConditionCode);
        var tables = new GuestIoTables(_rig.Memory, 0x10_0000);
        tables.Map(ZpciLimits.StartDma, 0x5000);
        Assert.Equal(ZpciConditionCode.Done, _rig.Bus.Refresh(2, ZpciGuestRig.Request(_function), ZpciLimits.StartDma, 0x1000).ConditionCode);
        _rig.Bus.Refresh(2, ZpciGuestRig.Request(_function), 0, 0x1000);
        _rig.Clock.Advance(Interval);
        Assert.Equal(1ul, Read().Refreshes);
    }

    [Fact]
    public void Set_AddressWithAKey_ErrorEventAndOff()
    {
        Set(Block);
        ZpciResult result = _rig.Modify(_function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = Block | 1 });
        Assert.Equal(ZpciConditionCode.Error, result.ConditionCode);
        Assert.Equal([ZpciErrorEvent.MeasurementProtection], _rig.TakeErrors());
        Assert.Equal(ZpciFunctionState.Enabled, _function.State);
        Assert.Equal(0, _rig.Clock.Alarms);
        _rig.StoreControls(_function.Handle, out ZpciFib fib);
        Assert.Equal(0ul, fib.Measurement);
    }

    [Fact]
    public void Set_Zero_OffAndCountersStartAnew()
    {
        Set(Block);
        _rig.Bus.Load(2, ZpciGuestRig.Request(_function, length: 4), 0);
        Set(0);
        Assert.Equal(0, _rig.Clock.Alarms);
        _rig.Clock.Advance(10 * Interval);
        Assert.Equal(0u, Read().Samples);
        Set(Block);
        _rig.Clock.Advance(Interval);
        Assert.Equal((1u, 0ul), (Read().Samples, Read().Loads));
    }

    [Theory]
    [InlineData(ZpciGuestRig.MemorySize)]
    [InlineData(ZpciGuestRig.MemorySize - 16)]
    [InlineData(0xffff_ffff_ffff_fff0ul)]
    public void Update_MemoryRefuses_EventAndOff(ulong address)
    {
        Set(address);
        _rig.Clock.Advance(Interval);
        Assert.Equal([ZpciErrorEvent.MeasurementAddress], _rig.TakeErrors());
        Assert.Equal(ZpciFunctionState.Enabled, _function.State);
        Assert.Equal(0, _rig.Clock.Alarms);
        _rig.Clock.Advance(Interval);
        Assert.Empty(_rig.TakeErrors());
    }

    [Fact]
    public void Set_AnotherBlock_TheOldOneIsLeftAlone()
    {
        Set(Block);
        _rig.Clock.Advance(Interval);
        Set(Block + 0x100);
        _rig.Clock.Advance(Interval);
        Assert.Equal(1u, Read().Samples);
        Assert.Equal(2u, ZpciFmb.Read(_rig.Memory.Span(Block + 0x100, ZpciFmb.Length)).Samples);
    }

    private void Set(ulong address) => Assert.Equal(
        ZpciConditionCode.Done, _rig.Modify(_function, ZpciModifyOperation.SetMeasurement, new ZpciFib { Measurement = address }).ConditionCode);

    private ZpciFmb Read() => ZpciFmb.Read(_rig.Memory.Span(Block, ZpciFmb.Length));
}
