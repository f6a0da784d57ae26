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
            DeviceDemo demo = FindDemo(catalog, name);
            if (parsed.GetValue(verbose) && parsed.GetValue(guest) is null)
            {
                throw new UsageException("--console shows a guest's console and there is no guest; add --guest x86_64, or leave it out");
            }

            var report = new DemoReport(new Output(parsed.GetValue(json)));
            return parsed.GetValue(guest) is string architecture
                ? demo.InGuest(report, parsed.GetValue(verbose)).RunAsync(ParseArchitecture(architecture, name), cancellation)
                : demo.WithoutVm(report).RunAsync(cancellation);
        });
        return command;
    }

    private static DeviceDemo FindDemo(DeviceCatalog catalog, string name)
    {
        string names = string.Join(" or ", DeviceDemo.All.Select(d => d.Device));
        if (catalog.Entries.All(e => e.Name != name))
        {
            throw new UsageException($"there is no device '{name}' that can be shown; choose {names}");
        }

        return DeviceDemo.All.FirstOrDefault(d => d.Device == name)
            ?? throw new UsageException($"'{name}' has no demonstration; choose {names}, or use 'penstock serve {name}'");
    }

    private static GuestArchitecture ParseArchitecture(string text, string device) => text switch
    {
        "x86_64" => GuestArchitecture.X86_64,
        "s390x" => throw new UsageException($"{device} has no MSI-X, which PCI on s390x cannot do without; choose x86_64"),
        "ppc64le" => throw new UsageException($"{device} cannot be shown in a ppc64le guest; choose x86_64"),
        _ => throw new UsageException($"there is no guest architecture '{text}'; choose x86_64"),
    };
}
