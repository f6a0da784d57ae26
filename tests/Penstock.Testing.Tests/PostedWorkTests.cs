using Penstock.Pci;

namespace Penstock.Testing.Tests;

/// <summary>A bench waits for what the model posted, so that it misses no fault in it.</summary>
public sealed class PostedWorkTests
{
    [Fact]
    public void Dispose_WithWorkThatHasNotBegunAndThrows_FindsIt()
    {
        FunctionTestBench bench = Bench(static port =>
        {
            port.Dma.Post(static () => Thread.Sleep(50));
            port.Dma.Post(static () => throw new InvalidOperationException("too late"));
        });
        Break(bench);
        Assert.Contains("too late", Assert.Throws<TestBenchException>(bench.Dispose).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Settle_WithWorkThatPostsMore_WaitsForAllOfIt()
    {
        int done = 0;
        using FunctionTestBench bench = Bench(port => PostOn(port, 200, () => done++));
        Break(bench);
        bench.Settle();
        Assert.Equal(200, done);
    }

    [Fact]
    public void Settle_WithAModelThatPostsForever_ComesBack()
    {
        long done = 0;
        using FunctionTestBench bench = Bench(port => PostOn(port, int.MaxValue, () => Interlocked.Increment(ref done)));
        Break(bench);
        bench.Settle();
        Assert.NotEqual(0, Interlocked.Read(ref done));
    }

    [Fact]
    public void Settle_WithWorkThatHangs_SaysSo()
    {
        using var end = new ManualResetEventSlim();
        using var bench = new FunctionTestBench(
            new ProbeFunction { Mistake = (port, _) => port.Dma.Post(() => end.Wait(TimeSpan.FromSeconds(60))) },
            new FunctionTestBenchOptions { Patience = TimeSpan.FromSeconds(3) });
        Break(bench);
        string message = Assert.Throws<TestBenchException>(bench.Settle).Message;
        end.Set();
        Assert.Contains("does not end", message, StringComparison.Ordinal);
    }

    private static FunctionTestBench Bench(Action<PciFunctionPort> mistake) => new(new ProbeFunction { Mistake = (port, _) => mistake(port) });

    private static void Break(FunctionTestBench bench) => bench.Bar(0).Write64(ProbeFunction.Break, 0xbad);

    private static void PostOn(PciFunctionPort port, int times, Action each) => port.Dma.Post(() =>
    {
        each();
        if (times > 1)
        {
            PostOn(port, times - 1, each);
        }
    });
}
