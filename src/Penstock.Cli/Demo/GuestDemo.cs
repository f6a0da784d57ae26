using System.Diagnostics;
using System.Globalization;
using Penstock.Hypervisor;
using Penstock.Lab;
using Penstock.Pci;
using Penstock.VfioUser;

namespace Penstock.Cli.Demo;

/// <summary>
/// A device in an unmodified Linux guest under an unmodified QEMU. The guest's script says <c>demo: WORD</c> when it has come to a point,
/// <c>demo: quote TEXT</c> for something to show, <c>demo: fail TEXT</c> when something is wrong.
/// </summary>
internal abstract class GuestDemo(DemoReport report, bool console)
{
    private const string Quote = "demo: quote ";

    /// <summary>Debian's package with lspci.</summary>
    private const string Pciutils = "pciutils";

    /// <summary>QEMU clears the window page by page at each reset of the machine.</summary>
    private static readonly string[] SmallWindow = ["-global", "spapr-pci-host-bridge.dma_win_size=0x1000000"];

    /// <summary>Far longer than a step takes: everything is emulated, and the machine may be busy with other things.</summary>
    private static readonly TimeSpan StepTime = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan GuestTime = TimeSpan.FromMinutes(30);

    private PciFunctionServer? _server;

    protected DemoReport Report => report;

    /// <summary>The guest's tap, if it has one.</summary>
    protected DemoTap? Tap { get; private set; }

    /// <summary>The server, from the guest's start on.</summary>
    protected PciFunctionServer Server => _server!;

    /// <summary>Runs it; with a path the guest's RPCIT is tapped, which only s390x guests have.</summary>
    public async Task<int> RunAsync(GuestArchitecture architecture, RpcitPath? rpcit, CancellationToken cancellation)
    {
        try
        {
            return await report.RunAsync(() => DemonstrateAsync(architecture, rpcit, cancellation));
        }
        finally
        {
            DisposeDevices();
        }
    }

    /// <summary>The device's name.</summary>
    protected abstract string Name { get; }

    /// <summary>What it is, for the first line.</summary>
    protected abstract string Title { get; }

    /// <summary>The device that is served.</summary>
    protected abstract IPciFunction Device { get; }

    /// <summary>A second one, for a machine that does not take one alone.</summary>
    protected virtual IPciFunction? SecondDevice => null;

    /// <summary>The guest without the device itself, its console and packages; with <paramref name="lspci"/> its script may use Debian's lspci.</summary>
    protected abstract GuestConfiguration Configure(GuestArchitecture architecture, bool lspci);

    /// <summary>What it is in one word.</summary>
    protected virtual string Noun => "device";

    /// <summary>Who has the device in the guest.</summary>
    protected abstract string BoundDriver { get; }

    /// <summary>Goes through the device's own steps in a guest whose driver is bound.</summary>
    protected abstract Task DriveAsync(Guest guest, CancellationToken cancellation);

    /// <summary>Gives back what the devices own; they are not served any more.</summary>
    protected virtual void DisposeDevices()
    {
    }

    protected static Task<string> WaitAsync(Guest guest, string word, CancellationToken cancellation) => WaitForTextAsync(guest, $"demo: {word}", cancellation);

    /// <summary>Waits for a line with a text; what the script found wrong is told instead when it does not come.</summary>
    protected static async Task<string> WaitForTextAsync(Guest guest, string text, CancellationToken cancellation)
    {
        try
        {
            return await guest.WaitForLineAsync(text, StepTime, cancellation);
        }
        catch (LabException e)
        {
            // It ended or came to nothing; what its script found wrong says more.
            const string Fail = "demo: fail ";
            string? said = guest.ConsoleText.Split('\n').LastOrDefault(line => line.StartsWith(Fail, StringComparison.Ordinal));
            throw new DemoFailure(said?[Fail.Length..].Trim() ?? e.Message);
        }
    }

    private async Task DemonstrateAsync(GuestArchitecture architecture, RpcitPath? rpcit, CancellationToken cancellation)
    {
        report.Title($"Penstock demo: {Title} in an unmodified Linux VM ({architecture.ToString().ToLowerInvariant()}).");
        VmLab lab = await PrepareAsync(architecture, cancellation);
        bool lspci = lab.Packages.Contains(Pciutils);
        report.Done("lab", $"QEMU {lab.QemuVersion}, {lab.KernelDescription}");

        using var folder = new TemporaryFolder();
        var options = new VfioUserServerOptions { PeerTimeout = OwnPeers.Time, Log = report.Output.Note };
        string socket = folder.File($"{Name}.sock");
        using DemoTap? tap = rpcit is RpcitPath path
            ? await DemoTap.ServeAsync(path, Device, socket, options, new GuestConfiguration().MemoryMegabytes, report.Output, cancellation)
            : null;
        Tap = tap;
        GuestConfiguration configuration = Configure(architecture, lspci);
        using PciFunctionServer? untapped = tap is null ? PciFunctionServer.Serve(Device, socket, options) : null;
        PciFunctionServer server = tap?.Server ?? untapped!;
        _server = server;

        // QEMU 11.1 aborts with only one vfio-user device on a ppc64 host bridge.
        using PciFunctionServer? second = architecture == GuestArchitecture.Ppc64le && SecondDevice is IPciFunction other
            ? PciFunctionServer.Serve(other, folder.File("second.sock"), options)
            : null;
        report.Output.Note("booting the guest (emulated, some seconds)");
        long start = Stopwatch.GetTimestamp();
        configuration = configuration with
        {
            Devices = [.. configuration.Devices, .. Plug(architecture, server, second)],
            ExtraArguments = architecture == GuestArchitecture.Ppc64le ? SmallWindow : [],
            Packages = lspci ? [Pciutils] : [],
            ConsoleSink = ShowConsole,
            Timeout = GuestTime,
        };
        configuration = tap?.Join(configuration) ?? configuration;
        await using Guest guest = await Guest.StartAsync(lab, configuration, cancellation);
        await WaitAsync(guest, "bound", cancellation);
        report.Done("boot", $"{BoundDriver} is bound, {Seconds(start)} after the start of QEMU");
        if (lspci)
        {
            await WaitAsync(guest, "lspci", cancellation);
            report.Done("lspci", $"Debian's lspci in the guest finds the {Noun} and its driver");
        }

        await DriveAsync(guest, cancellation);
        GuestResult result = await guest.WaitForExitAsync(cancellation);
        DemoReport.Verify(result.ExitStatus == 0, $"the guest's script ended with status {result.ExitStatus?.ToString(CultureInfo.InvariantCulture) ?? "none"}");
        DemoReport.Verify(WaitForEnd(server) && (second is null || WaitForEnd(second)), "the server did not notice that QEMU has gone");
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

    /// <summary>On s390x a function has a zPCI device of its own, before it.</summary>
    private static IEnumerable<string> Plug(GuestArchitecture architecture, PciFunctionServer server, PciFunctionServer? second)
    {
        const string First = "device";
        if (architecture == GuestArchitecture.S390x)
        {
            yield return QemuDevice.Zpci(1, DemoTap.FunctionId, First);
        }

        var patience = new Dictionary<string, object> { ["x-msg-timeout"] = (long)OwnPeers.Time.TotalMilliseconds };
        yield return QemuDevice.VfioUser(server.Path, First, patience);
        if (second is not null)
        {
            yield return QemuDevice.VfioUser(second.Path, "second", patience);
        }
    }

    private static bool WaitForEnd(PciFunctionServer server) =>
        SpinWait.SpinUntil(() => server.SessionsEnded == 1, OwnPeers.Time);

    private static string Seconds(long start) =>
        string.Create(CultureInfo.InvariantCulture, $"{Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s");
}
