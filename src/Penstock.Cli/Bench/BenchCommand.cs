using System.CommandLine;

namespace Penstock.Cli.Bench;

/// <summary><c>penstock bench NAME</c>.</summary>
internal static class BenchCommand
{
    private const int MostRounds = 10_000;
    private const int MostOperations = 1_000_000_000;

    public static Command Create() => new CommandGroup("bench", "Measure.", "benchmark") { CreateMessages(), CreateMaps() };

    private static Command CreateMessages()
    {
        var client = new Option<string>("--client") { Required = true, HelpName = "PROGRAM", Description = "The measuring client, which the script bench/messages builds and names here." };
        var floor = new Option<string?>("--floor") { HelpName = "PROGRAM", Description = "A C server to compare with." };
        Option<int?> rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; the servers take turns in each.", 9);
        Option<int?> operations = CommonOptions.Number("--operations", 1, MostOperations, "Operations for each measure in each round.", 20_000);
        var measures = new Option<string>("--measures") { HelpName = "PATTERN", DefaultValueFactory = _ => "region_*", Description = "Which measures, as shell patterns with commas between." };
        Option<int?> cpu = CommonOptions.Number("--cpu", 0, Processors.Largest, "The processor that both ends run on; the last one when not given.");
        Option<bool> json = CommonOptions.Json();
        var command = new Command("messages", "Round trips of single messages: our server and a C floor in turn, both ends on one processor. JSON when not on a terminal.")
        {
            client, floor, rounds, operations, measures, cpu, json,
        };
        command.SetAction((parsed, cancellation) => new MessagesBench(
            new MessagesBenchOptions
            {
                Client = parsed.GetValue(client)!,
                Floor = parsed.GetValue(floor),
                Rounds = parsed.GetValue(rounds)!.Value,
                Operations = parsed.GetValue(operations)!.Value,
                Measures = parsed.GetValue(measures)!,
                Processor = parsed.GetValue(cpu) is int processor ? Processors.Require(processor) : Processors.Last(),
            },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).RunAsync(cancellation));
        return command;
    }

    private static Command CreateMaps()
    {
        Option<int?> rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; one more is run before them and not counted.", 9);
        Option<int?> operations = CommonOptions.Number("--operations", 1, MostOperations, "Maps and unmaps in each round.", 20_000);
        Option<bool> json = CommonOptions.Json();
        var command = new Command("maps", "Mapping and unmapping in this process, at 1 to 65535 mappings, with and without a thread that translates; pinning. JSON when not on a terminal.")
        {
            rounds, operations, json,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(new MapsBench(
            new MapsBenchOptions { Rounds = parsed.GetValue(rounds)!.Value, Operations = parsed.GetValue(operations)!.Value },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).Run(cancellation)));
        return command;
    }
}
