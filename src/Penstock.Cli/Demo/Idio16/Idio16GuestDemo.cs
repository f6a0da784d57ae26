using System.Globalization;
using Penstock.Devices;
using Penstock.Lab;
using Penstock.Pci;

namespace Penstock.Cli.Demo;

/// <summary>The IDIO-16 card in a guest: the guest's own driver and tools work it.</summary>
internal sealed class Idio16GuestDemo(DemoReport report, bool console) : GuestDemo(report, console)
{
    private readonly Idio16Function _card = new();

    protected override string Name => "idio16";

    protected override string Title => "the ACCES PCI-IDIO-16 digital I/O card";

    protected override IPciFunction Device => _card;

    protected override string Noun => "card";

    protected override string BoundDriver => "the guest's driver";

    protected override GuestConfiguration Configure(GuestArchitecture architecture, bool lspci) => new()
    {
        Files = [GuestPrograms.GpioLines(architecture)],
        Script = Idio16GuestScript.Text(lspci),
    };

    protected override async Task DriveAsync(Guest guest, CancellationToken cancellation)
    {
        await WaitAsync(guest, "outputs", cancellation);

        // QEMU posts writes: the guest may be ahead of the card.
        SpinWait.SpinUntil(() => _card.Outputs == Idio16GuestScript.Outputs, TimeSpan.FromMinutes(1));
        DemoReport.Verify(_card.Outputs == Idio16GuestScript.Outputs, $"the guest set outputs 0x{Idio16GuestScript.Outputs:x4}, the card drives 0x{_card.Outputs:x4}");
        Report.Done("outputs", $"the guest set 0x{Idio16GuestScript.Outputs:x4} through its GPIO device, the card drives 0x{_card.Outputs:x4}");

        SetInputs(Idio16GuestScript.Inputs);
        await guest.SendLineAsync("go", cancellation);
        await WaitAsync(guest, "inputs", cancellation);
        Report.Done("inputs", $"0x{Idio16GuestScript.Inputs:x4} set from outside, the guest reads the same 16 lines");
        await ChangeAsync(guest, cancellation);
    }

    private async Task ChangeAsync(Guest guest, CancellationToken cancellation)
    {
        await guest.SendLineAsync("go", cancellation);
        await WaitAsync(guest, "watching", cancellation);
        long before = _card.InterruptsRaised;
        bool level = (Idio16GuestScript.Inputs >> Idio16GuestScript.WatchedInput & 1) != 0;
        for (int i = 1; i <= Idio16GuestScript.Changes; i++)
        {
            level = !level;
            _card.SetInput(Idio16GuestScript.WatchedInput, level);

            // One after the other: the card has one "something changed" bit, so changes before its acknowledgement are one interrupt.
            await WaitAsync(guest, string.Create(CultureInfo.InvariantCulture, $"change {i}"), cancellation);
        }

        await WaitAsync(guest, "watched", cancellation);
        long raised = _card.InterruptsRaised - before;
        DemoReport.Verify(raised == Idio16GuestScript.Changes, $"{Idio16GuestScript.Changes} changes, but the card raised {raised} interrupts");
        Report.Done("interrupts", $"{Idio16GuestScript.Changes} changes of input {Idio16GuestScript.WatchedInput}: {raised} interrupts raised by the card, as many counted by the guest's kernel");
    }

    private void SetInputs(ushort levels)
    {
        for (int line = 0; line < Idio16Function.InputCount; line++)
        {
            _card.SetInput(line, (levels >> line & 1) != 0);
        }
    }
}
