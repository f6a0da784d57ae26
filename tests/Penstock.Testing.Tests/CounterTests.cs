// <docs/testing.md>
using Penstock.Samples.Counter;
using Penstock.Testing;

namespace Penstock.Testing.Tests;

public sealed class CounterTests : IDisposable
{
    private const ulong Value = 0x00, Add = 0x04, Target = 0x08;
    private const ulong Iova = 0x10000;

    private readonly FunctionTestBench _bench = new(new CounterFunction());

    public void Dispose() => _bench.Dispose();

    [Fact]
    public void Add_WithMemoryAndVector_SumIsInMemoryAtTheInterrupt()
    {
        TestMemory memory = _bench.Map(Iova, 4096);
        InterruptCapture interrupts = _bench.CaptureMsix();
        _bench.Bar(0).Write64(Target, Iova + 0x40);
        _bench.Bar(0).Write32(Add, 5);
        interrupts.WaitFor(0);
        Assert.Equal(5u, memory.Read32(0x40));
    }

    [Fact]
    public void Reset_AfterCounting_StartsAtZero()
    {
        _bench.Bar(0).Write32(Add, 9);
        Assert.Equal(9u, _bench.Bar(0).Read32(Value));
        _bench.Reset();
        Assert.Equal(0u, _bench.Bar(0).Read32(Value));
    }

    [Fact]
    public void HostileUser_FindsNothing() => HostileUser.Attack(
        () => new CounterFunction(),
        new HostileUserOptions { Seed = 1, Steps = 5000, Registers = [Value, Add, Target] }).ThrowIfFailed();
}
// </docs/testing.md>
