namespace Penstock.Devices.Tests;

/// <summary>
/// Durability, through the real controller and its workers: whatever a completed Flush or a completed write with force unit access covers
/// is there after the power has failed, at whatever moment.
/// </summary>
public sealed class NvmePowerCutTests
{
    private const int Size = 256 << 10;

    [Theory]
    [InlineData(512, 150)]
    [InlineData(4096, 75)]
    public void PowerCut_AtAnyMoment_EverythingCoveredIsThere(int blockSize, int rounds)
    {
        Outcome outcome = Run(blockSize, rounds, seed: blockSize, PowerCutLie.None);
        Assert.Null(outcome.Wrong);
        Assert.Equal(rounds, outcome.Rounds);

        // Otherwise the test did not test it.
        Assert.InRange(outcome.Flushes, rounds, int.MaxValue);
        Assert.InRange(outcome.Forced, rounds, int.MaxValue);
    }

    [Theory]
    [InlineData(nameof(PowerCutLie.FlushDoesNothing))]
    [InlineData(nameof(PowerCutLie.FlushForgetsSome))]
    [InlineData(nameof(PowerCutLie.HostTrustsWrites))]
    [InlineData(nameof(PowerCutLie.HostTrustsFlushTooMuch))]
    public void PowerCut_WithALie_IsFoundOut(string lie)
    {
        Outcome outcome = Run(512, rounds: 150, seed: 7, Enum.Parse<PowerCutLie>(lie));
        Assert.NotNull(outcome.Wrong);
        Assert.Contains("which was durable", outcome.Wrong, StringComparison.Ordinal);
    }

    private static Outcome Run(int blockSize, int rounds, int seed, PowerCutLie lie)
    {
        var random = new Random(seed);
        var history = new PowerCutHistory(Size / PowerCutBacking.Sector);
        var host = new PowerCutHost(history, random, blockSize, lie);
        byte[] medium = new byte[Size];
        for (int round = 1; round <= rounds; round++)
        {
            var backing = new PowerCutBacking(medium, new Random(random.Next()), random.Next(1, 300), lie);
            host.Work(backing, drain: random.Next(2) == 0);
            medium = backing.Remains();
            string? wrong = host.Verify(new PowerCutBacking(medium, random, int.MaxValue));
            if (wrong is not null)
            {
                return new Outcome($"round {round}: {wrong}", round, host.Flushes, host.Forced);
            }
        }

        return new Outcome(null, rounds, host.Flushes, host.Forced);
    }

    private sealed record Outcome(string? Wrong, int Rounds, int Flushes, int Forced);
}
