using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Testing.Tests;

/// <summary>What a bench offers to a test, and what it does not let pass.</summary>
public sealed class FunctionTestBenchTests
{
    private const ulong Iova = 0x10_0000;
    private const ulong Done = 0x100;

    [Fact]
    public void Registers_OfAllWidths_ReachTheModel()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        bench.Bar(0).Write64(ProbeFunction.Scratch, 0x1122334455667788);
        Assert.Equal(0x1122334455667788UL, bench.Bar(0).Read64(ProbeFunction.Scratch));
        Assert.Equal(0x1234, bench.Config.Read16(PciConfigOffsets.VendorId));
        Assert.Equal(0x1234, bench.Config.Read8(0) | (bench.Config.Read8(1) << 8));
        Assert.Equal(0x0001_1234u, bench.Config.Read32(0));
        Assert.Equal(ProbeFunction.Size, bench.Bar(0).Info.Size);
        Assert.Equal(Errno.EINVAL, bench.Bar(0).Read(ProbeFunction.Size, new byte[4]));
        Assert.Contains("2 bytes at 0x0 of BAR 0: EINVAL", Assert.Throws<TestBenchException>(() => bench.Bar(0).Write16(0, 1)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void FindCapability_OfTheFunction_IsItsOffset()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        ulong msix = bench.FindCapability(PciCapabilityId.Msix);
        Assert.Equal(ProbeFunction.Vectors - 1, bench.Config.Read16(msix + PciMsix.Control));
        Assert.Equal(0UL, bench.FindCapability(PciCapabilityId.Agp));
    }

    [Theory]
    [InlineData(TestMemoryKind.Direct)]
    [InlineData(TestMemoryKind.Copied)]
    [InlineData(TestMemoryKind.Message)]
    public void Memory_OfEachKind_IsReachedAtItsAddress(TestMemoryKind kind)
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        TestMemory memory = bench.Map(Iova, 0x2000, kind: kind);
        memory.FillRandom(1);
        byte[] expected = memory.Read(0x1000, 64);
        Assert.Equal(Done, Copy(bench, Iova + 0x1000, ProbeFunction.CopyIn));
        Assert.Equal(Done, Copy(bench, Iova + 0x40, ProbeFunction.CopyOut));
        Assert.Equal(expected, memory.Read(0x40, 64));
        Assert.Equal(kind == TestMemoryKind.Message ? (1L, 1L) : (0L, 0L), (memory.Channel?.Reads ?? 0, memory.Channel?.Writes ?? 0));
    }

    [Fact]
    public void Memory_WithHolesAndReadOnlyParts_AnswersAsTheMapsSay()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        TestMemory memory = bench.CreateMemory(0x3000);
        bench.Map(Iova, memory, DmaAccess.Read, size: 0x1000);
        bench.Map(Iova + 0x2000, memory, offset: 0x2000);
        Assert.Equal(Done, Copy(bench, Iova, ProbeFunction.CopyIn));
        Assert.Equal(Done + (ulong)Errno.EPERM, Copy(bench, Iova, ProbeFunction.CopyOut));
        Assert.Equal(Done + (ulong)Errno.EFAULT, Copy(bench, Iova + 0x1000, ProbeFunction.CopyIn));
        Assert.Equal(Done, Copy(bench, Iova + 0x2000, ProbeFunction.CopyOut));
        bench.Unmap(Iova + 0x2000);
        Assert.Equal(Done + (ulong)Errno.EFAULT, Copy(bench, Iova + 0x2000, ProbeFunction.CopyOut));
        Assert.Throws<TestBenchException>(() => bench.Unmap(Iova + 0x2000));
        Assert.True(memory.IsInUse);
        bench.Unmap(Iova);
        Assert.False(memory.IsInUse);
    }

    [Fact]
    public void Channel_WhoseSecondMapAtOnePlaceIsRefused_KeepsTheFirst()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        TestMemory memory = bench.CreateMemory(0x2000, TestMemoryKind.Message);
        memory.FillRandom(1);
        byte[] expected = memory.Read(0, 64);
        bench.Map(Iova, memory, size: 0x1000);
        Assert.Equal(Errno.EEXIST, Assert.Throws<VfioException>(() => bench.Map(Iova, memory, offset: 0x1000)).Errno);
        Assert.Equal(Done, Copy(bench, Iova, ProbeFunction.CopyIn));
        bench.Unmap(Iova);
        bench.Map(Iova, memory, offset: 0x1000);
        Assert.Equal(Done, Copy(bench, Iova, ProbeFunction.CopyOut));
        Assert.Equal(expected, memory.Read(0x1000, 64));
    }

    [Fact]
    public void Channel_ThatFailsOrActsMeanwhile_IsSeenByTheModel()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        TestMessageChannel channel = bench.Map(Iova, 0x1000, kind: TestMemoryKind.Message).Channel!;
        channel.Answer = Errno.ETIMEDOUT;
        channel.Meanwhile = () => bench.Bar(0).Write64(ProbeFunction.Scratch, 7);
        Assert.Equal(Done + (ulong)Errno.ETIMEDOUT, Copy(bench, Iova, ProbeFunction.CopyIn));
        Assert.Equal(7UL, bench.Bar(0).Read64(ProbeFunction.Scratch));
    }

    [Fact]
    public void Pin_CapturedMaskedAndUnmasked_SignalsAsALevel()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        InterruptCapture pin = bench.CaptureIntx();
        pin.ExpectNone();
        bench.Bar(0).Write64(ProbeFunction.Pin, 1);
        Assert.Equal(1, pin.WaitFor());
        pin.Unmask();
        Assert.Equal(1, pin.WaitFor());
        bench.Bar(0).Write64(ProbeFunction.Pin, 0);
        pin.Unmask();
        pin.Mask();
        bench.Bar(0).Write64(ProbeFunction.Pin, 1);
        pin.ExpectNone();
        pin.Unmask();
        Assert.Throws<TestBenchException>(pin.ExpectNone);
        Assert.Equal(3, pin.Count());
    }

    [Fact]
    public void Vectors_BoundAndUnbound_AreCountedAndBecomePending()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        using InterruptCapture vectors = bench.CaptureMsix();
        Assert.Equal(ProbeFunction.Vectors, vectors.Vectors);
        bench.Bar(0).Write64(ProbeFunction.Vector, 2);
        bench.Bar(0).Write64(ProbeFunction.Vector, 2);
        Assert.Equal(2, vectors.WaitFor(2));
        vectors.ExpectNone();
        vectors.Unbind(2);
        bench.Bar(0).Write64(ProbeFunction.Vector, 2);
        vectors.ExpectNone();
        vectors.Rebind(2);
        Assert.Equal(1, vectors.Take(2));
        Assert.Equal((0, 3), (vectors.Count(1), vectors.Count(2)));
        var error = Assert.Throws<TestBenchException>(() => vectors.WaitFor(0, TimeSpan.FromMilliseconds(1)));
        Assert.Contains("vector 0", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void MsiAfterTheMsixCaptureEnded_Works()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        bench.CaptureMsix(1).Dispose();
        InterruptCapture msi = bench.CaptureMsi();
        bench.Bar(0).Write64(ProbeFunction.Vector, 0);
        Assert.Equal(1, msi.WaitFor());
    }

    [Fact]
    public void ResetsAndReopening_BringTheInitialState()
    {
        using var bench = new FunctionTestBench(new ProbeFunction());
        foreach (Action reset in new Action[] { bench.Reset, bench.FunctionLevelReset, () => { bench.Close(); bench.Open(); } })
        {
            bench.Bar(0).Write64(ProbeFunction.Scratch, 5);
            reset();
            Assert.Equal(0UL, bench.Bar(0).Read64(ProbeFunction.Scratch));
        }

        bench.Close();
        Assert.Throws<TestBenchException>(() => bench.Config.Read8(0));
    }

    [Fact]
    public void MigrateTo_AnotherBench_MovesTheState()
    {
        using var source = new FunctionTestBench(new MigratableProbe());
        using var target = new FunctionTestBench(new MigratableProbe());
        source.Bar(0).Write64(ProbeFunction.Scratch, 42);
        source.MigrateTo(target);
        Assert.Equal(42UL, target.Bar(0).Read64(ProbeFunction.Scratch));
        source.Resume();
    }

    [Fact]
    public void Dispose_AfterAModelThrew_SaysWhere()
    {
        var bench = new FunctionTestBench(new ProbeFunction { Mistake = static (_, _) => throw new InvalidOperationException("not so") });
        Assert.Contains("EIO", Assert.Throws<TestBenchException>(() => bench.Bar(0).Write64(ProbeFunction.Break, 0xbad)).Message, StringComparison.Ordinal);
        Assert.Contains("not so", Assert.Single(bench.Log), StringComparison.Ordinal);
        Assert.Throws<TestBenchException>(bench.Verify);
        Assert.Contains("not so", Assert.Throws<TestBenchException>(bench.Dispose).Message, StringComparison.Ordinal);
        bench.Dispose();
    }

    [Fact]
    public void Dispose_AfterAToleratedLine_IsSilent()
    {
        var options = new FunctionTestBenchOptions { Tolerates = static line => line.Contains("not so", StringComparison.Ordinal) };
        var bench = new FunctionTestBench(new ProbeFunction { Mistake = static (_, _) => throw new InvalidOperationException("not so") }, options);
        Assert.Equal(Errno.EIO, bench.Bar(0).Write(ProbeFunction.Break, BitConverter.GetBytes(0xbadUL)));
        bench.Dispose();
    }

    [Theory]
    [InlineData(-3, "3 bytes before its start")]
    [InlineData(0x1002, "2 bytes past its end")]
    public void Dispose_AfterAWriteBesideTheMemory_SaysWhere(int at, string expected)
    {
        var bench = new FunctionTestBench(new ProbeFunction { Mistake = (port, iova) => WriteBeside(port, iova, at) });
        bench.Map(Iova, 0x1000);
        bench.Bar(0).Write64(ProbeFunction.Address, Iova);
        bench.Bar(0).Write64(ProbeFunction.Break, 0xbad);
        Assert.Contains(expected, Assert.Throws<TestBenchException>(bench.Dispose).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Dispose_WhileTheHostOwnsSomething_NamesIt()
    {
        var bench = new FunctionTestBench(new ProbeFunction(), new FunctionTestBenchOptions { Patience = TimeSpan.FromSeconds(2) });
        using EventDescriptor forgotten = EventDescriptor.Create(bench.Host.Ledger);
        Assert.Contains("Descriptor 1", Assert.Throws<TestBenchException>(bench.Dispose).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Dispose_WhileTheModelHoldsMemory_NamesItAndLeavesItThere()
    {
        HeldMemory held = default;
        var bench = new FunctionTestBench(
            new ProbeFunction
            {
                Mistake = (port, iova) =>
                {
                    using DmaScope scope = port.Dma.Enter();
                    Assert.Equal(Errno.None, scope.TryHold(iova, 16, DmaAccess.Write, out held));
                },
            },
            new FunctionTestBenchOptions { Patience = TimeSpan.FromSeconds(2) });
        bench.Map(Iova, 0x1000);
        bench.Bar(0).Write64(ProbeFunction.Address, Iova);
        bench.Bar(0).Write64(ProbeFunction.Break, 0xbad);
        Assert.Contains("memory of 0x1000 bytes is still held", Assert.Throws<TestBenchException>(bench.Dispose).Message, StringComparison.Ordinal);

        // As a thread of the model would do later; on memory that was taken away it would end the process.
        Assert.Equal(Errno.None, held.Memory.Write(held.Offset, new byte[16]));
        held.Dispose();
    }

    [Fact]
    public void WaitUntil_ThatNeverHappens_SaysWhatItWaitedFor()
    {
        using var bench = new FunctionTestBench(new ProbeFunction(), new FunctionTestBenchOptions { Patience = TimeSpan.FromMilliseconds(1) });
        Assert.Contains("the moon", Assert.Throws<TestBenchException>(() => bench.WaitUntil(static () => false, "the moon")).Message, StringComparison.Ordinal);
    }

    private static ulong Copy(FunctionTestBench bench, ulong iova, ulong direction)
    {
        bench.Bar(0).Write64(ProbeFunction.Result, 0);
        bench.Bar(0).Write64(ProbeFunction.Address, iova);
        bench.Bar(0).Write64(direction, 1);
        bench.WaitUntil(() => bench.Bar(0).Read64(ProbeFunction.Result) != 0, "the copy does not end");
        return bench.Bar(0).Read64(ProbeFunction.Result);
    }

    private static unsafe void WriteBeside(PciFunctionPort port, ulong iova, int at)
    {
        using DmaScope scope = port.Dma.Enter();
        Assert.True(scope.TryBorrow(iova, 16, DmaAccess.Write, out DmaRun run));
        run.Pointer[at] = 0;
    }
}
