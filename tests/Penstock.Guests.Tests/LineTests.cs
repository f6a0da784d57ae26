using Penstock.Devices;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Lines through the guest's GPIO character device against the lines of the card.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class LineTests(GuestLab lab)
{
    private const int RandomPatterns = 16;

    private static IEnumerable<ushort> Patterns(int seed)
    {
        var random = new Random(seed);
        IEnumerable<ushort> walking = Enumerable.Range(0, 16).Select(line => (ushort)(1 << line));
        IEnumerable<ushort> chosen = Enumerable.Range(0, RandomPatterns).Select(_ => (ushort)random.Next(0x10000));
        return [.. walking, 0xffff, 0, .. chosen];
    }

    [Fact]
    public async Task Outputs_SetByTheGuest_AreDrivenByTheCard()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            foreach (ushort pattern in Patterns(seed: 16))
            {
                await Procedures.VerifyOutputsAsync(bench, linux, pattern);
            }

            // One line alone: the others must stay.
            await Procedures.VerifyOutputsAsync(bench, linux, 0x5a5a);
            await shell.RunAsync("gpio-lines set $chip 0=1 && gpio-lines set $chip 9=0");
            CardBench.Settle<ushort>(0x585b, () => bench.Card.Outputs);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    [Fact]
    public async Task Inputs_SetFromOutside_AreReadByTheGuest()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            Assert.Equal(0, await linux.GetInputsAsync());
            for (int line = 0; line < Idio16Function.InputCount; line++)
            {
                bench.Card.SetInput(line, true);
                Assert.Equal(1 << line, await linux.GetInputsAsync());
                bench.Card.SetInput(line, false);
                Assert.Equal(0, await linux.GetInputsAsync());
            }

            foreach (ushort pattern in Patterns(seed: 17))
            {
                await Procedures.VerifyInputsAsync(bench, linux, pattern);
            }

            Assert.Equal(0, bench.Card.InterruptsRaised);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }
}
