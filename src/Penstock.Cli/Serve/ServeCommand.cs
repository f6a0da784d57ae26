using System.CommandLine;
using Penstock.Devices;
using Penstock.Hypervisor;

namespace Penstock.Cli.Serve;

/// <summary>
/// <c>penstock serve DEVICE</c>: one subcommand for each device, with the device's own options. The others belong to <c>serve</c>, so that
/// they may stand before the device as well as after it.
/// </summary>
internal static class ServeCommand
{
    private static readonly Option<string> Socket = new("--socket")
    {
        Required = true,
        Recursive = true,
        HelpName = "PATH",
        Description = "The Unix socket to listen on, at most 107 bytes; for several devices a folder, or a path with %n or %u in it.",
    };

    private static readonly Option<bool> Once = new("--once") { Recursive = true, Description = "End when the first client has gone." };
    private static readonly Option<bool> Guard = new("--guard") { Recursive = true, Description = "Copy the client's memory instead of mapping it." };
    private static readonly Option<string?> Record = new("--record") { Recursive = true, HelpName = "FILE", Description = "Write every message to this file." };
    private static readonly Option<int?> Processor = CommonOptions.Number("--cpu", 0, Processors.Largest, "Run sessions on this processor.");
    private static readonly Option<RpcitPath?> Rpcit = CommonOptions.Rpcit(
        "For one run of an s390x guest: who follows its I/O tables: fallback (QEMU, page by page), shadow or nested (Penstock, through a plugin in QEMU).");

    private static readonly Option<bool> Json = CommonOptions.Json();

    public static Command Create(DeviceCatalog catalog)
    {
        Processor.Recursive = true;
        Rpcit.Recursive = true;
        Json.Recursive = true;
        var command = new CommandGroup("serve", "Serve a device on a Unix socket until stopped.", "device")
        {
            Socket, Once, Guard, Processor, Record, Rpcit, Json,
        };
        foreach (DeviceEntry entry in catalog.Entries)
        {
            command.Subcommands.Add(CreateFor(catalog, entry));
        }

        return command;
    }

    private static Command CreateFor(DeviceCatalog catalog, DeviceEntry entry)
    {
        var command = new Command(entry.Name, $"{entry.Summary} ({entry.Ids}).");
        var values = new List<(string Name, Func<ParseResult, string?> Value)>();
        foreach (DeviceOption option in entry.Options)
        {
            (Option added, Func<ParseResult, string?> value) = option.IsFlag ? FlagFor(option) : ValueFor(option);
            added.Description = Sentence(option.Help);
            values.Add((option.Name, value));
            command.Options.Add(added);
        }

        command.SetAction((parsed, cancellation) =>
        {
            var options = new ServeOptions
            {
                Device = entry.Name,
                DeviceOptions = Given(values, parsed),
                Socket = parsed.GetValue(Socket)!,
                Once = parsed.GetValue(Once),
                Guard = parsed.GetValue(Guard),
                Processor = parsed.GetValue(Processor) is int processor ? Processors.Require(processor) : null,
                RecordFile = parsed.GetValue(Record),
                Rpcit = parsed.GetValue(Rpcit),
            };
            return new ServeRun(catalog, options, new Output(parsed.GetValue(Json))).RunAsync(cancellation);
        });
        return command;
    }

    private static Dictionary<string, string> Given(IEnumerable<(string Name, Func<ParseResult, string?> Value)> values, ParseResult parsed) => values
        .Select(v => (v.Name, Value: v.Value(parsed)))
        .Where(v => v.Value is not null)
        .ToDictionary(v => v.Name, v => v.Value!, StringComparer.Ordinal);

    private static (Option Added, Func<ParseResult, string?> Value) FlagFor(DeviceOption option)
    {
        var flag = new Option<bool>($"--{option.Name}");
        return (flag, parsed => parsed.GetValue(flag) ? DeviceOption.On : DeviceOption.Off);
    }

    private static (Option Added, Func<ParseResult, string?> Value) ValueFor(DeviceOption option)
    {
        var value = new Option<string>($"--{option.Name}") { HelpName = option.ValueHint, Required = option.Default is null };
        if (option.Default is { Length: > 0 } normally)
        {
            value.DefaultValueFactory = _ => normally;
        }

        return (value, parsed => parsed.GetValue(value));
    }

    private static string Sentence(string help) => $"{char.ToUpperInvariant(help[0])}{help[1..]}.";
}
