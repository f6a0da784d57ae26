using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;

namespace Penstock.Devices.Tests;

public sealed class BenchFunctionTests : IDisposable
{
    private const uint Translate = 1;
    private const uint ReadByMessage = 2;
    private const uint WriteByMessage = 3;
    private const uint TranslateGetPut = 4;
    private const int Op = 0xF000;
    private const int Iterations = 0xF008;
    private const int BaseIova = 0xF010;
    private const int Stride = 0xF018;
    private const int Regions = 0xF020;
    private const int Length = 0xF028;
    private const int Nanoseconds = 0xF030;
    private const int Succeeded = 0xF038;
    private const int Pattern = 0xF040;
    private const ulong Iova = 1UL << 32;
    private const ulong Page = 0x1000;

    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private FunctionTestBench? _slot;

    public void Dispose() => _slot?.Dispose();

    [Fact]
    public void Description_IsAMessageOnlyBarOf64KiB()
    {
        var facts = new BenchFunction().Description;
        Assert.Equal(new PciBar(0, PciBarKind.Memory32, 0x10000) { TakesWholeAccesses = true }, Assert.Single(facts.Bars));
        Assert.Equal(0, facts.InterruptPin);
    }

    [Fact]
    public void Storage_KeepsWhatIsWritten_AndResetClearsIt()
    {
        var bench = Plugged();
        byte[] data = new byte[8];
        Assert.Equal(Errno.None, bench.Write(0xFFF8, [1, 2, 3, 4, 5, 6, 7, 8]));
        Assert.Equal(Errno.None, bench.Read(0xFFF8, data));
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8], data);
        Slot().Reset();
        Assert.Equal(Errno.None, bench.Read(0xFFF8, data));
        Assert.Equal(new byte[8], data);
    }

    [Fact]
    public void Access_OutsideTheBar_IsRefused()
    {
        var bench = new BenchFunction();
        Assert.Equal(Errno.EINVAL, bench.ReadBar(0, 0x10000, new byte[1]));
        Assert.Equal(Errno.EINVAL, bench.WriteBar(0, 0xFFFD, new byte[4]));
        Assert.Equal(Errno.EINVAL, bench.ReadBar(0, ulong.MaxValue, new byte[2]));
        Assert.Equal(Errno.EINVAL, bench.ReadBar(1, 0, new byte[1]));
    }

    [Fact]
    public void Storage_Access_AllocatesNothing()
    {
        var bench = Plugged();
        byte[] data = new byte[8];
        Assert.Equal(0, AllocatedBytes.In(1, _ =>
        {
            bench.Write(0, data);
            bench.Read(0, data);
        }));
    }

    [Theory]
    [InlineData(Translate, 0)]
    [InlineData(Translate, 1)]
    [InlineData(Translate, 2)]
    [InlineData(TranslateGetPut, 0)]
    [InlineData(TranslateGetPut, 1)]
    [InlineData(TranslateGetPut, 2)]
    public void Translate_AllRegionsMapped_EveryAccessSucceeds(uint operation, ulong pattern)
    {
        Map(regions: 3);
        Assert.Equal(10_000UL, Run(Plugged(), operation, 10_000, regions: 3, pattern: pattern));
    }

    [Theory]
    [InlineData(0, 9000)]
    [InlineData(1, 6000)]
    public void Translate_OneOfThreeRegionsMissing_CountsOnlyTheOthers(ulong pattern, ulong expected)
    {
        Map(regions: 2);
        Assert.Equal(expected, Run(Plugged(), Translate, 9000, regions: 3, pattern: pattern));
    }

    [Fact]
    public void Translate_Random_VisitsTheRegionsThatTheFixedSeedGives()
    {
        Map(regions: 2);
        ulong state = 88172645463325252;
        ulong expected = 0;
        for (int i = 0; i < 5000; i++)
        {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            expected += Math.BigMul(state, 3UL, out _) < 2 ? 1UL : 0;
        }

        Assert.Equal(expected, Run(Plugged(), Translate, 5000, regions: 3, pattern: 2));
    }

    [Fact]
    public void Translate_AccessLongerThanTheMapping_DoesNotCount()
    {
        Map(regions: 1);
        Assert.Equal(0UL, Run(Plugged(), Translate, 100, length: Page + 1));
        Assert.Equal(0UL, Run(Plugged(), TranslateGetPut, 100, length: Page + 1));
    }

    [Fact]
    public void Dma_BusMasterOff_NothingSucceeds()
    {
        Map(regions: 1);
        var channel = MapMessages();
        Slot().SetCommand(PciCommand.Memory);
        var bench = Plugged();
        Assert.Equal(0UL, Run(bench, Translate, 100));
        Assert.Equal(0UL, Run(bench, ReadByMessage, 100, iova: 2 * Iova));
        Assert.Equal(0, channel.Reads);
    }

    [Fact]
    public void Message_ReadsAndWrites_SucceedOnceEach()
    {
        var channel = MapMessages();
        var bench = Plugged();
        Assert.Equal(50UL, Run(bench, ReadByMessage, 50, iova: 2 * Iova));
        Assert.Equal(70UL, Run(bench, WriteByMessage, 70, iova: 2 * Iova));
        Assert.Equal((50, 70), (channel.Reads, channel.Writes));
    }

    [Fact]
    public void Message_WhileUnderWay_RegistersAnswerAndASecondStartIsRefused()
    {
        var channel = MapMessages();
        var bench = Plugged();
        var seen = new List<(Errno, ulong)>();
        channel.Meanwhile = () =>
        {
            // As a guest on another processor would; the message is answered only after that.
            var other = new Thread(() => seen.Add((Write(bench, Op, WriteByMessage, sizeof(uint)), Read(bench, Nanoseconds))));
            other.Start();
            Assert.True(other.Join(Patience));
        };
        Assert.Equal(3UL, Run(bench, ReadByMessage, 3, iova: 2 * Iova));
        Assert.Equal([(Errno.EBUSY, 0UL), (Errno.EBUSY, 0UL), (Errno.EBUSY, 0UL)], seen);
        Assert.Equal(0, channel.Writes);
    }

    [Fact]
    public void Message_PeerGone_EndsTheOperation()
    {
        var channel = MapMessages();
        channel.Answer = Errno.ENOTCONN;
        Assert.Equal(0UL, Run(Plugged(), ReadByMessage, ulong.MaxValue, iova: 2 * Iova));
        Assert.Equal(1, channel.Reads);
    }

    [Fact]
    public void Reset_WhileAnOperationRuns_AbandonsIt()
    {
        var channel = MapMessages();
        var bench = Plugged();
        using var reset = new ManualResetEventSlim();
        channel.Meanwhile = () =>
        {
            Slot().Reset();
            reset.Set();
        };
        Fill(bench, ulong.MaxValue, 2 * Iova, 1, 64, 0);
        Write(bench, Op, ReadByMessage, sizeof(uint));
        Assert.True(reset.Wait(Patience));
        channel.Meanwhile = null;
        Assert.Equal(5UL, Run(bench, WriteByMessage, 5, iova: 2 * Iova));
        Assert.Equal(1, channel.Reads);
    }

    [Theory]
    [InlineData(Translate)]
    [InlineData(WriteByMessage)]
    public void Operation_WithoutEnd_StopsAtTheLimitAndLetsRegistersIn(uint operation)
    {
        var bench = Plugged(TimeSpan.FromMilliseconds(100));
        Map(regions: 1);
        var channel = MapMessages();
        ulong succeeded = Run(bench, operation, ulong.MaxValue, iova: operation == Translate ? Iova : 2 * Iova);
        Assert.InRange(succeeded, 1UL, ulong.MaxValue - 1);
        Assert.Equal(operation == WriteByMessage, channel.Writes > 0);
    }

    [Theory]
    [InlineData(0)]
    [InlineData((1 << 20) + 1)]
    [InlineData(ulong.MaxValue)]
    public void Operation_WithALengthThatMakesNoSense_EndsAtOnce(ulong length)
    {
        MapMessages();
        Assert.Equal(0UL, Run(Plugged(), ReadByMessage, 10, length: length, iova: 2 * Iova));
        Assert.Equal(0UL, Run(Plugged(), Translate, 10, length: length));
    }

    [Theory]
    [InlineData(0U)]
    [InlineData(5U)]
    [InlineData(uint.MaxValue)]
    public void Operation_Unknown_IsOnlyStored(uint operation)
    {
        var bench = Plugged();
        Assert.Equal(Errno.None, Write(bench, Op, operation, sizeof(uint)));
        Assert.Equal(operation, (uint)Read(bench, Op));
        Map(regions: 1);
        Assert.Equal(1UL, Run(bench, Translate, 1));
    }

    private FunctionTestBench Slot(TimeSpan? limit = null) => _slot ??= new FunctionTestBench(new BenchFunction(limit));

    private TestRegion Plugged(TimeSpan? limit = null) => Slot(limit).Bar(0);

    private void Map(ulong regions)
    {
        for (ulong i = 0; i < regions; i++)
        {
            Slot().Map(Iova + (i * 2 * Page), Page);
        }
    }

    private TestMessageChannel MapMessages() => Slot().Map(2 * Iova, Page, kind: TestMemoryKind.Message).Channel!;

    /// <summary>Runs an operation as the measuring client does, and returns how many accesses succeeded.</summary>
    private static ulong Run(
        TestRegion bench, uint operation, ulong iterations, ulong iova = Iova, ulong regions = 1, ulong length = 64, ulong pattern = 0)
    {
        Fill(bench, iterations, iova, regions, length, pattern);
        Assert.Equal(Errno.None, Write(bench, Op, operation, sizeof(uint)));
        Assert.True(SpinWait.SpinUntil(() => Read(bench, Nanoseconds) != 0, Patience), "the operation did not end");
        return Read(bench, Succeeded);
    }

    private static void Fill(TestRegion bench, ulong iterations, ulong iova, ulong regions, ulong length, ulong pattern)
    {
        Write(bench, Iterations, iterations);
        Write(bench, BaseIova, iova);
        Write(bench, Stride, 2 * Page);
        Write(bench, Regions, regions);
        Write(bench, Length, length);
        Write(bench, Pattern, pattern);
        Write(bench, Nanoseconds, 0);
    }

    private static Errno Write(TestRegion bench, int offset, ulong value, int width = sizeof(ulong))
    {
        Span<byte> data = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64LittleEndian(data, value);
        return bench.Write((ulong)offset, data[..width]);
    }

    private static ulong Read(TestRegion bench, int offset) => bench.Read64((ulong)offset);
}
