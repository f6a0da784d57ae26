using Penstock.Specs.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>The card behind the files that a VMM holds: decoding, BAR sizing and the level interrupt with its masking.</summary>
public sealed class Idio16DeviceFileTests : IDisposable
{
    private readonly Idio16Function _card = new();
    private readonly FunctionTestBench _bench;
    private readonly TestRegion _ports;

    public Idio16DeviceFileTests()
    {
        _bench = new FunctionTestBench(_card);
        _ports = _bench.Bar(2);
    }

    public void Dispose() => _bench.Dispose();

    [Fact]
    public void RegionInfo_IsEightPortsThatCannotBeMapped()
    {
        Assert.Equal(8UL, _ports.Info.Size);
        Assert.Equal(VfioRegionFlags.Read | VfioRegionFlags.Write, _ports.Info.Flags);
    }

    [Fact]
    public void ChangeOfInput_SignalsTheUser_OncePerUnmaskUntilCleared()
    {
        InterruptCapture pin = _bench.CaptureIntx();
        _ports.Read8(2);
        _card.SetInput(3, true);
        Assert.Equal(1, pin.Take());
        Assert.Equal(0b1000, _ports.Read8(1));

        // The level is still high: unmasking signals again, and after the clear it does not.
        pin.Unmask();
        Assert.Equal(1, pin.Take());
        _ports.Write8(1, 0);
        pin.Unmask();
        pin.ExpectNone();
        _card.SetInput(3, false);
        Assert.Equal(1, pin.Take());
        Assert.Equal(2, _card.InterruptsRaised);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    public void HostileUser_AnyAccesses_CardStaysUsable(int seed) => HostileUser.Attack(
        () => new Idio16Function(),
        new HostileUserOptions
        {
            Seed = seed,
            Steps = 10_000,
            Registers = [0, 1, 2, 3, 4, 5, 6, 7],
            Check = bench =>
            {
                bench.Bar(2).Write8(4, 0xa5);
                Assert.Equal(0xa500, ((Idio16Function)bench.Function).Outputs);
            },
        }).ThrowIfFailed();
}
