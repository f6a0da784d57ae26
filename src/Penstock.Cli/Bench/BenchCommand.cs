using System.CommandLine;

namespace Penstock.Cli.Bench;

/// <summary><c>penstock bench NAME</c>.</summary>
internal static class BenchCommand
{
    public static Command Create()
    {
        var command = new Command("bench", "Measure, beside a C peer in the same run.");
        command.Subcommands.Add(CreateMessages());
        return command;
    }

    private static Command CreateMessages()
    {
        var client = new Option<string>("--client") { Required = true, HelpName = "PROGRAM", Description = "The measuring client; 'bench/messages' builds it." };
        var floor = new Option<string?>("--floor") { HelpName = "PROGRAM", Description = "A C server to compare with." };
        var rounds = new Option<int>("--rounds") { HelpName = "N", DefaultValueFactory = _ => 9, Description = "Alternating rounds (default 9)." };
        var operations = new Option<int>("--operations") { HelpName = "N", DefaultValueFactory = _ => 20_000, Description = "Operations a measure and round (default 20000)." };
        var measures = new Option<string>("--measures") { HelpName = "PATTERN", DefaultValueFactory = _ => "region_*", Description = "Which measures (default region_*)." };
        var cpu = new Option<int>("--cpu") { HelpName = "N", DefaultValueFactory = _ => 1, Description = "The processor that both ends run on (default 1)." };
        Option<bool> json = CommonOptions.Json();
        var command = new Command("messages", "Round trips of region accesses: our server and a C floor, alternating, both ends on one processor.")
        {
            client, floor, rounds, operations, measures, cpu, json,
        };
        command.SetAction((parsed, cancellation) => new MessagesBench(
            new MessagesBenchOptions
            {
                Client = parsed.GetValue(client)!,
                Floor = parsed.GetValue(floor),
                Rounds = parsed.GetValue(rounds),
                Operations = parsed.GetValue(operations),
                Measures = parsed.GetValue(measures)!,
                Processor = parsed.GetValue(cpu),
            },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).RunAsync(cancellation));
        return command;
    }
}
