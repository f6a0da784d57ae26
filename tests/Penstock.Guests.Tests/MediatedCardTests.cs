using System.Collections.Concurrent;
using Penstock.Devices;
using Penstock.Interop;
using Penstock.Lab;
using Penstock.VfioUser;

namespace Penstock.Guests.Tests;

/// <summary>Two slices of one bank of lines in one guest, each bound by Linux's own driver as a card.</summary>
[Trait("Category", "VM")]
[Collection(GuestCollection.Name)]
public sealed class MediatedCardTests(GuestLab lab)
{
    private const int Cards = 2;
    private const int Changes = 8;

    [Fact]
    [Trait("Row", "S1-12")]
    public async Task TwoSlicesOfOneBank_BoundByTheGuestsDriver_AreSeparateCards()
    {
        using var folder = new TemporaryFolder();
        var ends = new ConcurrentDictionary<int, SessionEndKind>();
        var log = new ConcurrentQueue<string>();
        var bank = new GpioBank(Cards);
        MdevEndpoint[] endpoints = [.. Enumerable.Range(0, Cards).Select(i => new MdevEndpoint(Guid.NewGuid(), folder.File($"{i}.sock")))];
        using MdevParentServer server = MdevParentServer.Serve(
            "gpio-bank",
            new GpioMdevDriver(bank),
            GpioMdevDriver.CreateType(),
            endpoints,
            i => new VfioUserServerOptions { PeerTimeout = DeviceBench.PeerTime, Log = log.Enqueue, ClientEnded = end => ends[i] = end.Kind });
        var configuration = new GuestConfiguration { Devices = [.. endpoints.Select((e, i) => DeviceBench.VfioUser(e.Path, $"card{i}"))] };
        await using (GuestShell shell = await GuestShell.StartAsync(lab.Lab, configuration))
        {
            await shell.RunAsync("modprobe gpio-pci-idio-16");
            LinuxCard[] linux = [await LinuxCard.FindAsync(shell, 0), await LinuxCard.FindAsync(shell, 1)];
            await VerifyLinesAsync(bank, linux);
            await VerifyInterruptsAsync(bank, linux);
            await shell.PowerOffAsync();
        }

        DeviceBench.Settle(Cards, () => ends.Count);
        Assert.All(ends.Values, kind => Assert.Equal(SessionEndKind.ClientClosed, kind));
        Assert.DoesNotContain(log, line => line.Contains("fault", StringComparison.Ordinal));
        Assert.All(Enumerable.Range(0, Cards), card => Assert.Equal(0, bank.OutputsOf(card)));
        Assert.Equal(0, server.Host.Ledger.Outstanding(ResourceKind.Mapping));
    }

    private static async Task VerifyLinesAsync(GpioBank bank, LinuxCard[] linux)
    {
        var random = new Random(2);
        ushort[] outputs = new ushort[Cards];
        for (int i = 0; i < Changes; i++)
        {
            int card = i % Cards;
            outputs[card] = (ushort)random.Next(0x10000);
            await linux[card].SetOutputsAsync(outputs[card]);
            DeviceBench.Settle(outputs[card], () => bank.OutputsOf(card));
            Assert.Equal(outputs, Enumerable.Range(0, Cards).Select(bank.OutputsOf));
            Assert.Equal(outputs[0], await linux[0].GetOutputsAsync());
            Assert.Equal(outputs[1], await linux[1].GetOutputsAsync());

            bank.SetInput(card, random.Next(Idio16Function.InputCount), random.Next(2) == 0);
            Assert.Equal(bank.InputsOf(0), await linux[0].GetInputsAsync());
            Assert.Equal(bank.InputsOf(1), await linux[1].GetInputsAsync());
        }
    }

    /// <summary>Both cards are watched at once; each change of an input interrupts for its own card only.</summary>
    private static async Task VerifyInterruptsAsync(GpioBank bank, LinuxCard[] linux)
    {
        int[] changes = new int[Cards];
        foreach (LinuxCard card in linux)
        {
            await card.StartWatchAsync();
        }

        for (int i = 0; i < Changes; i++)
        {
            int card = i % 3 == 0 ? 0 : 1;
            bank.SetInput(card, i, (bank.InputsOf(card) >> i & 1) == 0);
            changes[card]++;
            await linux[card].WaitForEventsAsync(changes[card] * Idio16Function.InputCount);
            for (int each = 0; each < Cards; each++)
            {
                Assert.Equal(Enumerable.Repeat((long)changes[each], Idio16Function.InputCount), await linux[each].CountInputInterruptsAsync());
                Assert.Equal(changes[each], bank.CardOf(each)!.InterruptsRaised);
            }
        }

        for (int each = 0; each < Cards; each++)
        {
            Assert.Equal(changes[each] * Idio16Function.InputCount, (await linux[each].StopWatchAsync()).Count);
        }
    }
}
