using System.CommandLine;
using Penstock.Devices;

namespace Penstock.Cli.Serve;

/// <summary><c>penstock serve DEVICE</c>: one subcommand for each device, with the device's own options.</summary>
internal static class ServeCommand
{
    public static Command Create(DeviceCatalog catalog)
    {
        var command = new Command("serve", "Serve a device on a Unix socket until stopped.");
        foreach (DeviceEntry entry in catalog.Entries)
        {
            command.Subcommands.Add(CreateFor(catalog, entry));
        }

        // Without a subcommand: say what is wrong in this tool's words.
        var device = new Argument<string?>("DEVICE") { Arity = ArgumentArity.ZeroOrOne, Description = "The device; see 'penstock devices'." };
        command.Arguments.Add(device);
        command.TreatUnmatchedTokensAsErrors = false;
        command.SetAction((ParseResult parsed) => Refuse(catalog, parsed.GetValue(device)));
        return command;
    }

    private static int Refuse(DeviceCatalog catalog, string? name) => throw new UsageException(name is null
        ? $"serve: which device? Choose one of {Names(catalog)}"
        : $"serve: there is no device '{name}'; choose one of {Names(catalog)}");

    private static string Names(DeviceCatalog catalog) => string.Join(", ", catalog.Entries.Select(e => e.Name));

    private static Command CreateFor(DeviceCatalog catalog, DeviceEntry entry)
    {
        var socket = new Option<string>("--socket") { Required = true, HelpName = "PATH", Description = "Where to listen; at most 107 bytes." };
        var once = new Option<bool>("--once") { Description = "End when the first client has gone." };
        var guard = new Option<bool>("--guard") { Description = "Copy the client's memory instead of mapping it." };
        var cpu = new Option<int?>("--cpu") { HelpName = "N", Description = "Run sessions on this processor." };
        var record = new Option<string?>("--record") { HelpName = "FILE", Description = "Write every message to this file." };
        Option<bool> json = CommonOptions.Json();
        var command = new Command(entry.Name, $"{entry.Summary} ({entry.Ids}).") { socket, once, guard, cpu, record, json };
        var values = new List<(string Name, Option<string?> Option)>();
        foreach (DeviceOption option in entry.Options)
        {
            string normally = option.Default is null ? "required" : $"default {option.Default}";
            var value = new Option<string?>($"--{option.Name}") { HelpName = option.ValueHint, Description = $"{option.Help} ({normally})." };
            values.Add((option.Name, value));
            command.Options.Add(value);
        }

        command.SetAction((parsed, cancellation) =>
        {
            var options = new ServeOptions
            {
                Device = entry.Name,
                DeviceOptions = values
                    .Where(v => parsed.GetValue(v.Option) is not null)
                    .ToDictionary(v => v.Name, v => parsed.GetValue(v.Option)!, StringComparer.Ordinal),
                Socket = parsed.GetValue(socket)!,
                Once = parsed.GetValue(once),
                Guard = parsed.GetValue(guard),
                Processor = parsed.GetValue(cpu),
                RecordFile = parsed.GetValue(record),
            };
            return new ServeRun(catalog, options, new Output(parsed.GetValue(json))).RunAsync(cancellation);
        });
        return command;
    }
}
