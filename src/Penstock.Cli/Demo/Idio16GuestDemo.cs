using System.Diagnostics;
using System.Globalization;
using Penstock.Devices;
using Penstock.Lab;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>The IDIO-16 card in an unmodified Linux guest under an unmodified QEMU: the guest's own driver and tools work it.</summary>
internal sealed class Idio16GuestDemo(DemoReport report, bool console)
{
    private const string Quote = "demo: quote ";

    /// <summary>Debian's package with lspci.</summary>
    private const string Pciutils = "pciutils";

    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(2);

    public Task<int> RunAsync(GuestArchitecture architecture, CancellationToken cancellation) =>
        report.RunAsync(() => DemonstrateAsync(architecture, cancellation));

    private async Task DemonstrateAsync(GuestArchitecture architecture, CancellationToken cancellation)
    {
        report.Title($"Penstock demo: the ACCES PCI-IDIO-16 digital I/O card in an unmodified Linux VM ({architecture.ToString().ToLowerInvariant()}).");
        VmLab lab = await PrepareAsync(architecture, cancellation);
        bool lspci = lab.Packages.Contains(Pciutils);
        report.Done("lab", $"QEMU {lab.QemuVersion}, {lab.KernelDescription}");

        using var folder = new TemporaryFolder();
        var card = new Idio16Function();
        using var server = PciFunctionServer.Serve(card, folder.File("idio16.sock"), new VfioUserServerOptions { Log = report.Output.Note });
        report.Output.Note("booting the guest (emulated, some seconds)");
        long start = Stopwatch.GetTimestamp();
        var configuration = new GuestConfiguration
        {
            Devices = [QemuDevice.VfioUser(server.Path, "card")],
            Files = [GuestPrograms.GpioLines(architecture)],
            Packages = lspci ? [Pciutils] : [],
            Script = GuestScript.Text(lspci),
            ConsoleSink = ShowConsole,
        };
        await using Guest guest = await Guest.StartAsync(lab, configuration, cancellation);
        await WaitAsync(guest, "bound", cancellation);
        report.Done("boot", $"the guest's driver is bound, {Seconds(start)} after the start of QEMU");
        if (lspci)
        {
            await WaitAsync(guest, "lspci", cancellation);
            report.Done("lspci", "Debian's lspci in the guest finds the card and its driver");
        }

        await WaitAsync(guest, "outputs", cancellation);

        // QEMU posts writes: the guest may be ahead of the card.
        SpinWait.SpinUntil(() => card.Outputs == GuestScript.Outputs, TimeSpan.FromSeconds(5));
        DemoReport.Verify(card.Outputs == GuestScript.Outputs, $"the guest set outputs 0x{GuestScript.Outputs:x4}, the card drives 0x{card.Outputs:x4}");
        report.Done("outputs", $"the guest set 0x{GuestScript.Outputs:x4} through its GPIO device, the card drives 0x{card.Outputs:x4}");

        SetInputs(card, GuestScript.Inputs);
        await guest.SendLineAsync("go", cancellation);
        await WaitAsync(guest, "inputs", cancellation);
        report.Done("inputs", $"0x{GuestScript.Inputs:x4} set from outside, the guest reads the same 16 lines");

        await ChangeAsync(guest, card, cancellation);
        GuestResult result = await guest.WaitForExitAsync(cancellation);
        DemoReport.Verify(result.ExitStatus == 0, $"the guest's script ended with status {result.ExitStatus?.ToString(CultureInfo.InvariantCulture) ?? "none"}");
        DemoReport.Verify(server.SessionsEnded == 1 || WaitForEnd(server), "the server did not notice that QEMU has gone");
        report.Done("leave", "the guest powered off; the server is ready for the next VM");
    }

    /// <summary>The lab with lspci for the guest where that can be had: the demonstration does not depend on it.</summary>
    private async Task<VmLab> PrepareAsync(GuestArchitecture architecture, CancellationToken cancellation)
    {
        var options = new LabOptions { Progress = new LabNotes(report.Output) };
        VmLab lab = await VmLab.PrepareAsync(architecture, options, cancellation);
        try
        {
            return await VmLab.PrepareAsync(architecture, options with { GuestPackages = [Pciutils] }, cancellation);
        }
        catch (LabException e)
        {
            report.Output.Note($"the guest goes without lspci: {e.Message}");
            return lab;
        }
    }

    private async Task ChangeAsync(Guest guest, Idio16Function card, CancellationToken cancellation)
    {
        await guest.SendLineAsync("go", cancellation);
        await WaitAsync(guest, "watching", cancellation);
        long before = card.InterruptsRaised;
        bool level = (GuestScript.Inputs >> GuestScript.WatchedInput & 1) != 0;
        for (int i = 1; i <= GuestScript.Changes; i++)
        {
            level = !level;
            card.SetInput(GuestScript.WatchedInput, level);

            // One after the other: the card has one "something changed" bit, so changes before its acknowledgement are one interrupt.
            await WaitAsync(guest, string.Create(CultureInfo.InvariantCulture, $"change {i}"), cancellation);
        }

        await WaitAsync(guest, "watched", cancellation);
        long raised = card.InterruptsRaised - before;
        DemoReport.Verify(raised == GuestScript.Changes, $"{GuestScript.Changes} changes, but the card raised {raised} interrupts");
        report.Done("interrupts", $"{GuestScript.Changes} changes of input {GuestScript.WatchedInput}: {raised} interrupts raised by the card, as many counted by the guest's kernel");
    }

    private static async Task WaitAsync(Guest guest, string word, CancellationToken cancellation)
    {
        try
        {
            await guest.WaitForLineAsync($"demo: {word}", StepTime, cancellation);
        }
        catch (LabException e)
        {
            // It ended or came to nothing; what its script found wrong says more.
            const string Fail = "demo: fail ";
            string? said = guest.ConsoleText.Split('\n').LastOrDefault(line => line.StartsWith(Fail, StringComparison.Ordinal));
            throw new DemoFailure(said?[Fail.Length..].Trim() ?? e.Message);
        }
    }

    private void ShowConsole(string line)
    {
        if (line.StartsWith(Quote, StringComparison.Ordinal))
        {
            report.Quote(line[Quote.Length..].Trim());
        }
        else if (console)
        {
            report.Output.Note(line);
        }
    }

    private static void SetInputs(Idio16Function card, ushort levels)
    {
        for (int line = 0; line < Idio16Function.InputCount; line++)
        {
            card.SetInput(line, (levels >> line & 1) != 0);
        }
    }

    private static bool WaitForEnd(PciFunctionServer server) =>
        SpinWait.SpinUntil(() => server.SessionsEnded == 1, TimeSpan.FromSeconds(5));

    private static string Seconds(long start) =>
        string.Create(CultureInfo.InvariantCulture, $"{Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s");
}
