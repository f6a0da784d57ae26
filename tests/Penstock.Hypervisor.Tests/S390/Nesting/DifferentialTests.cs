using Penstock.S390;
using Penstock.Specs.Zpci;
using Penstock.Vfio;
using Xunit.Abstractions;

namespace Penstock.Hypervisor.Tests.S390.Nesting;

/// <summary>Random guests on all modes side by side: whatever they do with their tables, they see the same answers, and their devices the same memory.</summary>
public sealed class DifferentialTests(ITestOutputHelper output)
{
    private const int Steps = 25_000;
    private const int StepsWithLimits = 5_000;

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(0)]
    [Trait("Row", "S3-3")]
    [Trait("Row", "S3-10")]
    public void RandomGuest_OnThreeModes_SeesOneResult(int seed)
    {
        seed = seed == 0 ? Environment.TickCount : seed;
        output.WriteLine($"seed {seed}, {Steps} steps");
        using var rig = new NestingRig();
        var guest = new RandomGuest(rig, seed);
        FallbackRefresh<TableWalker<GuestTableReader>> fallback = rig.Fallback(out TranslatingDomain mapped);
        ShadowRefresh shadow = rig.Shadow(out ZpciDomain target);
        WalkedRefresh walked = rig.Walked();
        guest.Run(Steps, [fallback, shadow, walked], [mapped, target], walked.Domain);
        output.WriteLine($"{guest.Refreshes} refreshes, {guest.Errors} with errors, {guest.Checks} comparisons of all pages, {shadow.Changed} entries changed, {walked.Walks} walks");
        Assert.True(guest.Checks >= Steps / RandomGuest.StepsPerCheck && guest.Errors > 50 && shadow.Changed > 1000);
        fallback.Deregister();
        shadow.Deregister();
        walked.Deregister();
        Assert.Equal((0, 0, 0), (shadow.Pins, shadow.PinnedPages, shadow.Entries));
        Assert.Equal((0, 0), (walked.Pins, walked.PinnedPages));
    }

    [Theory]
    [InlineData(11, 7)]
    [InlineData(12, 100)]
    [InlineData(13, 600)]
    [Trait("Row", "S3-3")]
    [Trait("Row", "S3-12")]
    public void RandomGuest_WithALimitedNumberOfPages_SeesOneResult(int seed, int limit)
    {
        output.WriteLine($"seed {seed}, {StepsWithLimits} steps, {limit} pages");
        using var rig = new NestingRig();
        var guest = new RandomGuest(rig, seed);
        FallbackRefresh<TableWalker<GuestTableReader>> fallback = rig.Fallback(out TranslatingDomain mapped, new DmaBudget(limit));
        ShadowRefresh shadow = rig.Shadow(out FakeHostTables target, options: new ShadowOptions { Budget = new DmaBudget(limit) });
        guest.Run(StepsWithLimits, [fallback, shadow], [mapped, target], follows: null);
        Assert.True(guest.Insufficient > 50);
        fallback.Deregister();
        shadow.Deregister();
        Assert.Equal((0, 0, 0), (shadow.Pins, shadow.PinnedPages, target.Pages));
    }

    [Theory]
    [InlineData(21, 65)]
    [InlineData(22, 325)]
    [Trait("Row", "S3-4")]
    public void RandomGuest_WithLittleLockedMemory_NeverHasMoreThanThatAndLosesNothing(int seed, int limit)
    {
        output.WriteLine($"seed {seed}, {StepsWithLimits} steps, {limit} pages");
        using var rig = new NestingRig();
        var guest = new RandomGuest(rig, seed);
        ShadowRefresh shadow = rig.Shadow(out FakeHostTables target, (ulong)limit);
        long most = 0;
        guest.Run(StepsWithLimits, [shadow], [target], follows: null, () =>
        {
            most = Math.Max(most, shadow.Entries);
            Assert.InRange(shadow.PinnedPages, 4, limit);
            Assert.Equal(target.Pages, shadow.Entries);
        });
        Assert.True(guest.Insufficient > 50 && most > 20, $"{guest.Insufficient} refusals, {most} pages at most");
        shadow.Deregister();
        Assert.Equal((0, 0, 0), (shadow.Pins, shadow.PinnedPages, target.Pages));
    }
}
