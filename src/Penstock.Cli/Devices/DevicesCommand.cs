using System.CommandLine;
using System.Text.Json.Nodes;
using Penstock.Devices;

namespace Penstock.Cli.Devices;

/// <summary><c>penstock devices</c>: what can be served, with ids and options.</summary>
internal static class DevicesCommand
{
    public static Command Create(DeviceCatalog catalog)
    {
        Option<bool> json = CommonOptions.Json();
        var zpci = new Option<bool>("--zpci") { Description = "Print what each would say of itself as a function of an s390 machine." };
        var command = new Command("devices", "List the devices that can be served.") { json, zpci };
        command.SetAction(parsed => parsed.GetValue(zpci)
            ? ZpciListing.Print(catalog, new Output(parsed.GetValue(json)))
            : Run(catalog, parsed.GetValue(json)));
        return command;
    }

    private static int Run(DeviceCatalog catalog, bool json)
    {
        var output = new Output(json);
        var devices = new TextTable(new("DEVICE"), new("IDS"), new("WHAT IT IS"));
        var options = new TextTable(new("DEVICE"), new("OPTION"), new("DEFAULT"), new("WHAT IT SETS"));
        foreach (DeviceEntry entry in catalog.Entries)
        {
            output.Object(Describe(entry));
            devices.Add(entry.Name, entry.Ids, entry.Summary);
            foreach (DeviceOption option in entry.Options)
            {
                options.Add(entry.Name, $"--{option.Name} {option.ValueHint}".TrimEnd(), option.IsFlag || option.Default is null or "" ? "-" : option.Default, option.Help);
            }
        }

        output.Line($"{devices}\n\n{options}\n\n'penstock serve DEVICE --socket PATH' serves one.");
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
