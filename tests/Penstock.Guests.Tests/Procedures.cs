using Penstock.Devices;

namespace Penstock.Guests.Tests;

/// <summary>What both sides of a card must agree on, whatever happened before.</summary>
internal static class Procedures
{
    /// <summary>Outputs, inputs and interrupts, shortly.</summary>
    public static async Task VerifyWorksAsync(CardBench bench, LinuxCard linux)
    {
        await VerifyOutputsAsync(bench, linux, 0xa5c3);
        await VerifyInputsAsync(bench, linux, 0x1b72);
        await VerifyInterruptsAsync(bench, linux, 4);
    }

    public static async Task VerifyOutputsAsync(CardBench bench, LinuxCard linux, ushort levels)
    {
        await linux.SetOutputsAsync(levels);
        CardBench.Settle(levels, () => bench.Card.Outputs);
        Assert.Equal(levels, await linux.GetOutputsAsync());
    }

    public static async Task VerifyInputsAsync(CardBench bench, LinuxCard linux, ushort levels)
    {
        bench.SetInputs(levels);
        Assert.Equal(levels, await linux.GetInputsAsync());
    }

    /// <summary>
    /// Changes inputs, the next one when the guest has seen the last: as many interrupts raised as the guest's kernel counts for each input,
    /// and at each the level of every input.
    /// </summary>
    public static async Task VerifyInterruptsAsync(CardBench bench, LinuxCard linux, int changes, int seed = 1)
    {
        var random = new Random(seed);
        var levels = new List<ushort>();
        await linux.StartWatchAsync();
        var counts = await InterruptCounts.StartAsync(bench, linux);
        for (int i = 1; i <= changes; i++)
        {
            bench.Toggle(random.Next(Idio16Function.InputCount));
            levels.Add(bench.Card.Inputs);
            await linux.WaitForEventsAsync(i * Idio16Function.InputCount);
        }

        Assert.Equal(changes, await counts.VerifyEqualAsync());
        IReadOnlyList<(int Input, bool Level)> events = await linux.StopWatchAsync();
        Assert.Equal(
            levels.SelectMany(l => Enumerable.Range(0, Idio16Function.InputCount).Select(input => (input, (l >> input & 1) != 0))),
            events);
    }
}
