using Penstock.Devices;
using Penstock.Specs.VfioUser;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Guests that restart, are reset or die, against a server that stays.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class RestartTests(GuestLab lab)
{
    [Fact]
    public async Task Reboot_ByTheGuest_DeviceStartsAfreshAndWorks()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration with { AllowReboot = true }))
        {
            await Procedures.VerifyWorksAsync(bench, await LinuxCard.LoadAsync(shell));
            Assert.NotEqual(0, bench.Card.Outputs);
            int resets = bench.Traffic.Count(VfioUserCommand.DeviceReset);
            await shell.EndAsync("reboot");
            await shell.WaitUntilReadyAsync();
            Assert.InRange(bench.Traffic.Count(VfioUserCommand.DeviceReset), resets + 1, int.MaxValue);
            Assert.Equal(0, bench.Card.Outputs);
            await Procedures.VerifyWorksAsync(bench, await LinuxCard.LoadAsync(shell));
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    /// <summary>A reset while the driver is bound, interrupts are on, and inputs go on changing.</summary>
    [Fact]
    public async Task SystemReset_WhileInterruptsComeIn_SwitchesThemOffAndDeviceWorksAfter()
    {
        using var bench = new CardBench();
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, bench.Configuration with { AllowReboot = true }))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(shell);
            await Procedures.VerifyOutputsAsync(bench, linux, 0xffff);
            await linux.StartWatchAsync();
            int resets = bench.Traffic.Count(VfioUserCommand.DeviceReset);
            long before = bench.Card.InterruptsRaised;
            await using (InputNoise.Start(bench))
            {
                CardBench.Settle(true, () => bench.Card.InterruptsRaised > before + 10);
                await shell.Guest.QmpAsync("system_reset");
                await shell.WaitUntilReadyAsync();
            }

            Assert.InRange(bench.Traffic.Count(VfioUserCommand.DeviceReset), resets + 1, int.MaxValue);
            Assert.Equal(0, bench.Card.Outputs);
            long raised = bench.Card.InterruptsRaised;
            bench.Toggle(7);
            Assert.Equal(raised, bench.Card.InterruptsRaised);
            await Procedures.VerifyWorksAsync(bench, await LinuxCard.LoadAsync(shell));
            await shell.PowerOffAsync();
        }

        bench.VerifyNoErrors();
        bench.VerifyEnds(SessionEndKind.ClientClosed);
    }

    [Fact]
    public async Task Kill_InTheMiddleOfWork_NextGuestFindsACleanServer()
    {
        using var bench = new CardBench();
        await using (GuestShell first = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            LinuxCard linux = await LinuxCard.LoadAsync(first);
            await linux.StartWatchAsync();
            await first.RunAsync("while :; do gpio-lines set $chip 0=1 8=0; gpio-lines set $chip 0=0 8=1; done & true");
            long before = bench.Card.InterruptsRaised;
            await using (InputNoise.Start(bench))
            {
                CardBench.Settle(true, () => bench.Card.InterruptsRaised > before + 10);
                await first.Guest.KillAsync();

                // At once: the server may still be giving back what the first one held.
                await using GuestShell second = await GuestShell.StartAsync(lab.Lab, bench.Configuration);
                Assert.Equal(0, bench.Card.Outputs);
                LinuxCard again = await LinuxCard.LoadAsync(second);
                await Procedures.VerifyOutputsAsync(bench, again, 0x3c5a);
                await second.PowerOffAsync();
            }
        }

        CardBench.Settle(2, () => bench.Server.SessionsEnded);
        await using (GuestShell third = await GuestShell.StartAsync(lab.Lab, bench.Configuration))
        {
            await Procedures.VerifyWorksAsync(bench, await LinuxCard.LoadAsync(third));
            await third.PowerOffAsync();
        }

        bench.VerifyNoErrors();

        // A process that dies closes its socket as one that ends does; it may do so inside a message, though.
        SessionEndKind firstEnd = bench.FirstEnd;
        Assert.Contains(firstEnd, (SessionEndKind[])[SessionEndKind.ClientClosed, SessionEndKind.ClientVanished]);
        bench.VerifyEnds(firstEnd, SessionEndKind.ClientClosed, SessionEndKind.ClientClosed);
    }

    /// <summary>Inputs that change all the time, as in a plant.</summary>
    private sealed class InputNoise : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _changes;

        private InputNoise(CardBench bench) => _changes = Task.Run(async () =>
        {
            var random = new Random(3);
            while (!_stop.IsCancellationRequested)
            {
                bench.Toggle(random.Next(Idio16Function.InputCount));
                await Task.Delay(2);
            }
        });

        public static InputNoise Start(CardBench bench) => new(bench);

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _changes;
            _stop.Dispose();
        }
    }
}
