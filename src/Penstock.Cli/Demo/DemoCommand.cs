using System.CommandLine;
using Penstock.Devices;
using Penstock.Lab;

namespace Penstock.Cli.Demo;

/// <summary><c>penstock demo [DEVICE] [--guest ARCHITECTURE]</c>.</summary>
internal static class DemoCommand
{
    private const string DefaultDevice = "idio16";

    public static Command Create(DeviceCatalog catalog)
    {
        var device = new Argument<string>("DEVICE")
        {
            DefaultValueFactory = _ => DefaultDevice,
            Description = "The device to show.",
        };
        var guest = new Option<string?>("--guest")
        {
            HelpName = "ARCHITECTURE",
            Description = "Show it in an unmodified Linux VM of this architecture: x86_64.",
        };
        var verbose = new Option<bool>("--console") { Description = "With --guest: show the guest's whole console." };
        Option<bool> json = CommonOptions.Json();
        var command = new Command("demo", "Serve a device and show it at work, without a VM or in one.") { device, guest, verbose, json };
        command.SetAction((parsed, cancellation) =>
        {
            string name = parsed.GetValue(device)!;
            RequireDemo(catalog, name);
            if (parsed.GetValue(verbose) && parsed.GetValue(guest) is null)
            {
                throw new UsageException("--console shows a guest's console and there is no guest; add --guest x86_64, or leave it out");
            }

            var report = new DemoReport(new Output(parsed.GetValue(json)));
            return parsed.GetValue(guest) is string architecture
                ? new Idio16GuestDemo(report, parsed.GetValue(verbose)).RunAsync(ParseArchitecture(architecture, name), cancellation)
                : new Idio16WireDemo(report).RunAsync(cancellation);
        });
        return command;
    }

    private static void RequireDemo(DeviceCatalog catalog, string name)
    {
        if (catalog.Entries.All(e => e.Name != name))
        {
            throw new UsageException($"there is no device '{name}' that can be shown; choose {DefaultDevice}");
        }

        if (name != DefaultDevice)
        {
            throw new UsageException($"'{name}' has no demonstration; choose {DefaultDevice}, or use 'penstock serve {name}'");
        }
    }

    private static GuestArchitecture ParseArchitecture(string text, string device) => text switch
    {
        "x86_64" => GuestArchitecture.X86_64,
        "s390x" => throw new UsageException($"{device} has no MSI-X, which PCI on s390x cannot do without; choose x86_64"),
        "ppc64le" => throw new UsageException($"Debian's ppc64le kernel has no driver for {device}; choose x86_64"),
        _ => throw new UsageException($"there is no guest architecture '{text}'; choose x86_64"),
    };
}
