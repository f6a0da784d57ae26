using Penstock.Devices;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Interrupts raised by the card against interrupts counted by the guest's kernel.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class InterruptTests(GuestLab lab)
{
    private const int Changes = 100;
    private const int BurstChanges = 3000;

    [Fact]
    public async Task Changes_OneAfterTheOther_AreCountedEqual()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            await Procedures.VerifyInterruptsAsync(bench, linux, Changes);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>Changes that nobody waits for: some share an interrupt, but none is lost for good and the counts are still equal.</summary>
    [Fact]
    public async Task Changes_FasterThanTheGuest_AreCountedEqualAndTheLastIsSeen()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            await linux.StartWatchAsync();
            var counts = await InterruptCounts.StartAsync(bench, linux);
            var random = new Random(5);
            for (int i = 0; i < BurstChanges; i++)
            {
                bench.Toggle(random.Next(Idio16Function.InputCount));
                if (i % 8 == 0)
                {
                    Thread.Sleep(1);
                }
            }

            await shell.RunAsync("old=; while new=$(grep -c 'ing$' /tmp/events); [ \"$new\" != \"$old\" ]; do old=$new; sleep 0.5; done");
            Assert.Equal(BurstChanges, bench.Card.ChangeEvents);
            Assert.InRange(await counts.VerifyEqualAsync(), 2, BurstChanges);
            IReadOnlyList<(int Input, bool Level)> events = await linux.StopWatchAsync();
            int last = 0;
            foreach ((int input, bool level) in events.TakeLast(Idio16Function.InputCount))
            {
                last |= level ? 1 << input : 0;
            }

            Assert.Equal(bench.Card.Inputs, last);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }
}
