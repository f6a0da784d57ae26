using System.CommandLine;
using System.Text.Json.Nodes;
using Penstock.Devices;
using Spectre.Console;

namespace Penstock.Cli;

/// <summary><c>penstock devices</c>: what can be served, with ids and options.</summary>
internal static class DevicesCommand
{
    public static Command Create(DeviceCatalog catalog)
    {
        Option<bool> json = CommonOptions.Json();
        var command = new Command("devices", "List the devices that can be served.") { json };
        command.SetAction(parsed => Run(catalog, parsed.GetValue(json)));
        return command;
    }

    private static int Run(DeviceCatalog catalog, bool json)
    {
        if (json)
        {
            var output = new Output(json: true);
            foreach (DeviceEntry entry in catalog.Entries)
            {
                output.Object(Describe(entry));
            }

            return ExitStatus.Done;
        }

        var table = new Table().Border(TableBorder.Simple).AddColumns("device", "ids", "what it is", "options");
        foreach (DeviceEntry entry in catalog.Entries)
        {
            string options = string.Join('\n', entry.Options.Select(o => $"--{o.Name} {o.ValueHint}: {o.Help}"));
            table.AddRow(Markup.Escape(entry.Name), entry.Ids, Markup.Escape(entry.Summary), Markup.Escape(options));
        }

        AnsiConsole.Write(table);
        return ExitStatus.Done;
    }

    private static JsonObject Describe(DeviceEntry entry) => new()
    {
        ["device"] = entry.Name,
        ["ids"] = entry.Ids,
        ["summary"] = entry.Summary,
        ["options"] = new JsonArray([.. entry.Options.Select(o => (JsonNode)new JsonObject
        {
            ["name"] = o.Name,
            ["value"] = o.ValueHint,
            ["default"] = o.Default,
            ["help"] = o.Help,
        })]),
    };
}
