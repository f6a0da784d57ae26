using System.CommandLine;
using Penstock.Devices;
using Penstock.Hypervisor;
using Penstock.Lab;

namespace Penstock.Cli.Demo;

/// <summary><c>penstock demo [DEVICE] [--guest ARCHITECTURE]</c>.</summary>
internal static class DemoCommand
{
    private const string DefaultDevice = "idio16";

    private static readonly Dictionary<string, GuestArchitecture> Names = new()
    {
        ["x86_64"] = GuestArchitecture.X86_64,
        ["s390x"] = GuestArchitecture.S390x,
        ["ppc64le"] = GuestArchitecture.Ppc64le,
    };

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
            Description = "Show it in an unmodified Linux VM of this architecture: x86_64, for nvme also s390x and ppc64le.",
        };
        var verbose = new Option<bool>("--console") { Description = "With --guest: show the guest's whole console." };
        Option<RpcitPath?> rpcit = CommonOptions.Rpcit(
            "With --guest s390x: who follows the guest's I/O tables: fallback (QEMU, page by page), shadow or nested (Penstock, through a plugin in QEMU).");
        Option<bool> json = CommonOptions.Json();
        var command = new Command("demo", "Serve a device and show it at work, without a VM or in one.") { device, guest, rpcit, verbose, json };
        command.SetAction((parsed, cancellation) =>
        {
            string name = parsed.GetValue(device)!;
            DeviceDemo demo = FindDemo(catalog, name);
            if (parsed.GetValue(verbose) && parsed.GetValue(guest) is null)
            {
                throw new UsageException("--console shows a guest's console and there is no guest; add --guest x86_64, or leave it out");
            }

            RpcitPath? path = parsed.GetValue(rpcit);
            if (path is not null && (parsed.GetValue(guest) is not { } named || Names.GetValueOrDefault(named, GuestArchitecture.X86_64) != GuestArchitecture.S390x))
            {
                throw new UsageException("--rpcit is about an instruction of s390x guests; add --guest s390x, or leave it out");
            }

            var report = new DemoReport(new Output(parsed.GetValue(json)));
            return parsed.GetValue(guest) is string architecture
                ? demo.InGuest(report, parsed.GetValue(verbose)).RunAsync(ParseArchitecture(architecture, demo), path, cancellation)
                : demo.WithoutVm(report).RunAsync(cancellation);
        });
        return command;
    }

    private static DeviceDemo FindDemo(DeviceCatalog catalog, string name)
    {
        string names = string.Join(", ", DeviceDemo.All.Select(d => d.Device));
        if (catalog.Entries.All(e => e.Name != name))
        {
            throw new UsageException($"there is no device '{name}' that can be shown; choose one of {names}");
        }

        return DeviceDemo.All.FirstOrDefault(d => d.Device == name)
            ?? throw new UsageException($"'{name}' has no demonstration; choose one of {names}, or use 'penstock serve {name}'");
    }

    private static GuestArchitecture ParseArchitecture(string text, DeviceDemo demo)
    {
        string names = string.Join(" or ", demo.Guests.Select(g => Names.First(n => n.Value == g).Key));
        GuestArchitecture architecture = Names.TryGetValue(text, out GuestArchitecture known)
            ? known
            : throw new UsageException($"there is no guest architecture '{text}'; choose {names}");
        return demo.Guests.Contains(architecture)
            ? architecture
            : throw new UsageException(architecture == GuestArchitecture.S390x
                ? $"{demo.Device} has no MSI-X, which PCI on s390x cannot do without; choose {names}"
                : $"{demo.Device} cannot be shown in a {text} guest; choose {names}");
    }
}
