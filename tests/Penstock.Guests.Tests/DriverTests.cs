using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>The guest's driver comes and goes while the guest runs.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class DriverTests(GuestLab lab)
{
    private const int Rounds = 5;

    [Fact]
    public async Task UnbindAndBind_ManyTimes_InterruptsWorkAfterEach()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            for (int round = 0; round < Rounds; round++)
            {
                await Procedures.VerifyInterruptsAsync(bench, linux, changes: 5, seed: round);
                await Procedures.VerifyOutputsAsync(bench, linux, (ushort)(0x1111 << (round % 4)));
                long raised = bench.Card.InterruptsRaised;
                bool on = round % 2 != 0;
                if (on)
                {
                    // The driver goes, what it could have forgotten stays: a pin that nobody serves until the next driver clears it.
                    await linux.SwitchInterruptsOnAsync();
                }

                await linux.UnbindAsync();
                bench.Toggle(round);
                Assert.Equal((ushort)(0x1111 << (round % 4)), bench.Card.Outputs);
                Assert.Equal(on ? raised + 1 : raised, bench.Card.InterruptsRaised);
                await linux.BindAsync();
            }

            await Procedures.VerifyWorksAsync(bench, linux);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    [Fact]
    public async Task UnloadAndLoad_TheModules_DeviceWorksAfterEach()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            for (int round = 0; round < 3; round++)
            {
                await Procedures.VerifyWorksAsync(bench, linux);
                await linux.UnloadDriverAsync();
                await linux.LoadDriverAsync();
            }

            await Procedures.VerifyWorksAsync(bench, linux);
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }
}
