using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Testing.Tests;

/// <summary>A hostile user finds what is wrong with a model, and only that.</summary>
public sealed class HostileUserTests
{
    private static readonly ulong[] Registers = [0x00, 0x08, 0x10, 0x18, 0x20, 0x28, 0x30, 0x38];

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public void Attack_OnASoundModel_FindsNothing(int seed)
    {
        HostileUserReport report = HostileUser.Attack(
            static () => new MigratableProbe(),
            new HostileUserOptions
            {
                Seed = seed,
                Steps = 2000,
                Registers = Registers,
                Check = static bench =>
                {
                    bench.Bar(0).Write64(ProbeFunction.Scratch, 9);
                    Assert.Equal(9UL, bench.Bar(0).Read64(ProbeFunction.Scratch));
                },
            });
        report.ThrowIfFailed();
        Assert.Equal((2000, seed), (report.Steps, report.Seed));
    }

    [Fact]
    public void Attack_OnAModelThatThrows_FindsTheWriteThatBringsItAbout()
    {
        HostileUserReport report = Attack(static (_, _) => throw new InvalidOperationException("not so"));
        Assert.Contains("not so", report.Failure, StringComparison.Ordinal);
        Assert.Contains("write 0xbad, 8 bytes, to BAR 0 at 0x38", Assert.Single(report.Reproduction), StringComparison.Ordinal);
        Assert.Contains("seed 5", Assert.Throws<TestBenchException>(report.ThrowIfFailed).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Attack_OnPostedWorkThatThrows_FindsItToo()
    {
        HostileUserReport report = Attack(static (port, _) => port.Dma.Post(static () => throw new InvalidOperationException("later")));
        Assert.Contains("later", report.Failure, StringComparison.Ordinal);
        Assert.InRange(report.Reproduction.Count, 1, 5);
    }

    [Fact]
    public void Attack_OnAModelThatKeepsAPointer_FindsTheMapThatIsGone()
    {
        // A new model for each attempt, and with it what it keeps.
        HostileUserReport report = HostileUser.Attack(
            static () =>
            {
                nint kept = 0;
                return new ProbeFunction { Mistake = (port, iova) => KeepAndTouch(port, iova, ref kept) };
            },
            new HostileUserOptions { Seed = 5, Steps = 20_000, Registers = [0x08, 0x38], Values = [0xbad], AllKindsOfMemory = false });
        Assert.Contains("not mapped any more", report.Failure, StringComparison.Ordinal);
        Assert.Contains(report.Reproduction, static s => s.StartsWith("map ", StringComparison.Ordinal));
        Assert.InRange(report.Reproduction.Count, 3, 30);
    }

    [Fact]
    public void Attack_OnAModelThatHangs_SaysAtWhichStep()
    {
        using var end = new ManualResetEventSlim();
        HostileUserReport report = HostileUser.Attack(
            () => new ProbeFunction { Mistake = (_, _) => end.Wait(TimeSpan.FromSeconds(60)) },
            new HostileUserOptions
            {
                Seed = 5,
                Steps = 10_000,
                Registers = Registers,
                Values = [0xbad],
                StepTimeout = TimeSpan.FromSeconds(3),
                ShrinkAttempts = 0,
            });
        end.Set();
        Assert.Contains("hangs at step", report.Failure, StringComparison.Ordinal);
        Assert.Contains("write 0xbad", report.Failure, StringComparison.Ordinal);
    }

    [Fact]
    public void Attack_WithTheSameSeed_DoesTheSame()
    {
        Assert.Equal(
            Attack(static (_, _) => throw new InvalidOperationException("not so")).Steps,
            Attack(static (_, _) => throw new InvalidOperationException("not so")).Steps);
    }

    private static HostileUserReport Attack(Action<PciFunctionPort, ulong> mistake) => HostileUser.Attack(
        () => new ProbeFunction { Mistake = mistake },
        new HostileUserOptions { Seed = 5, Steps = 10_000, Registers = Registers, Values = [0xbad] });

    private static unsafe void KeepAndTouch(PciFunctionPort port, ulong iova, ref nint kept)
    {
        if (kept != 0)
        {
            *(byte*)kept = 1;
            return;
        }

        using DmaScope scope = port.Dma.Enter();
        if (scope.TryBorrow(iova, 16, DmaAccess.Write, out DmaRun run))
        {
            kept = (nint)run.Pointer;
        }
    }
}
