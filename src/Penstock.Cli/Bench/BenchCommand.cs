using System.CommandLine;

namespace Penstock.Cli.Bench;

/// <summary><c>penstock bench NAME</c>.</summary>
internal static class BenchCommand
{
    private const int MostRounds = 10_000;
    private const int MostOperations = 1_000_000_000;

    // The client and the table of batches keep a sample of each.
    private const int MostSampled = 10_000_000;

    public static Command Create() =>
        new CommandGroup("bench", "Measure. Figures are printed as JSON where the output is no terminal.", "benchmark") { CreateMessages(), CreateDma(), CreateMaps(), CreateNvme(), CreateZpci() };

    private static Command CreateMessages()
    {
        Option<bool> json = CommonOptions.Json();
        var peers = new PeerOptions("region_*", "bench/messages", "; without it Penstock's own client measures");
        var command = new Command("messages", "Round trips of single messages, both ends on one processor; with a C floor in turn when one is named.") { json };
        peers.AddTo(command);
        command.SetAction((parsed, cancellation) => new MessagesBench(
            peers.Of(parsed), new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).RunAsync(cancellation));
        return command;
    }

    private static Command CreateDma()
    {
        Option<bool> json = CommonOptions.Json();
        var peers = new PeerOptions("dma_message_*", "bench/dma");
        Option<int?> accesses = CommonOptions.Number("--accesses", 1, MostOperations, "Translations, and copies, for each measure in each round.", 1_000_000);
        var command = new Command("dma", "DMA by messages, beside a C floor, when the C client is named; translation and copies of mapped memory in this process.") { json, accesses };
        peers.AddTo(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var output = new Output(parsed.GetValue(json) || Console.IsOutputRedirected);
            MessagesBenchOptions messages = peers.Of(parsed);
            if (messages.Client is not null)
            {
                await new MessagesBench(messages, output).RunAsync(cancellation);
            }

            var options = new DmaBenchOptions { Rounds = messages.Rounds, Operations = parsed.GetValue(accesses)!.Value, Processor = messages.Processor };
            return new DmaBench(options, output).Run(cancellation);
        });
        return command;
    }

    private static Command CreateNvme()
    {
        Option<int?> rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; one more is run before them and not counted.", 9);
        Option<int?> operations = CommonOptions.Number("--operations", 1, MostOperations, "Commands in each round.", 200_000);
        var size = new Option<string>("--size") { HelpName = "SIZE", DefaultValueFactory = _ => "256M", Description = "Size of the disk." };
        var image = new Option<string?>("--image") { HelpName = "PATH", Description = "The file with the blocks, which are in memory without it. They are overwritten." };
        var peer = new Option<string?>("--peer") { HelpName = "PROGRAM", Description = "A server to compare with: it serves an NVMe controller on the vfio-user socket that is its only argument." };
        Option<int?> cpu = CommonOptions.Number("--cpu", 0, Processors.Largest, "The processor of the driver; the first one when not given.");
        Option<int?> serverCpu = CommonOptions.Number("--server-cpu", 0, Processors.Largest, "The processor of the server; the last one when not given.");
        Option<bool> json = CommonOptions.Json();
        var command = new Command("nvme", "Random reads and writes of 4 KiB on an NVMe controller in another process; both ends poll.")
        {
            rounds, operations, size, image, peer, cpu, serverCpu, json,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(new NvmeBench(
            new NvmeBenchOptions
            {
                Rounds = parsed.GetValue(rounds)!.Value,
                Operations = parsed.GetValue(operations)!.Value,
                Size = parsed.GetValue(size)!,
                Image = parsed.GetValue(image),
                Peer = parsed.GetValue(peer),
                HostProcessor = parsed.GetValue(cpu) is int host ? Processors.Require(host) : Processors.First(),
                ServerProcessor = parsed.GetValue(serverCpu) is int server ? Processors.Require(server) : Processors.Last(),
            },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).Run(cancellation)));
        return command;
    }

    private static Command CreateMaps()
    {
        Option<int?> rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; one more is run before them and not counted.", 9);
        Option<int?> operations = CommonOptions.Number("--operations", 1, MostSampled, "Maps and unmaps in each round.", 20_000);
        Option<bool> json = CommonOptions.Json();
        var command = new Command("maps", "Mapping and unmapping in this process, at 1 to 65535 mappings, with and without a thread that translates; pinning.")
        {
            rounds, operations, json,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(new MapsBench(
            new MapsBenchOptions { Rounds = parsed.GetValue(rounds)!.Value, Operations = parsed.GetValue(operations)!.Value },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).Run(cancellation)));
        return command;
    }

    private static Command CreateZpci()
    {
        var walker = new Option<string?>("--walker") { HelpName = "PROGRAM", Description = "The walk in C to compare with, which bench/zpci builds and names here." };
        Option<int?> rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; more are run before them and not counted.", 9);
        Option<int?> operations = CommonOptions.Number("--operations", 1, MostOperations, "Walks in each round; the rest is in proportion.", 2_000_000);
        Option<int?> cpu = CommonOptions.Number("--cpu", 0, Processors.Largest, "The processor that all runs on; the last one when not given.");
        var measures = new Option<string>("--measures") { HelpName = "NAMES", DefaultValueFactory = _ => string.Join(',', ZpciBenchOptions.Parts), Description = "Which parts, with commas between." };
        measures.Validators.Add(static given =>
        {
            if (given.GetValueOrDefault<string>().Split(',').Except(ZpciBenchOptions.Parts).FirstOrDefault() is { } unknown)
            {
                given.AddError($"--measures: '{unknown}' is none of {string.Join(", ", ZpciBenchOptions.Parts)}");
            }
        });
        var plot = new Option<string?>("--plot") { HelpName = "PATH", Description = "Where to draw the figures, as SVG." };
        Option<bool> json = CommonOptions.Json();
        var command = new Command("zpci", "zPCI: walks of I/O tables, RPCIT in all modes, strict and lazy unmaps, exits of loads, interruptions.")
        {
            walker, rounds, operations, measures, cpu, plot, json,
        };
        command.SetAction((parsed, cancellation) => Task.FromResult(new ZpciBench(
            new ZpciBenchOptions
            {
                Walker = parsed.GetValue(walker),
                Rounds = parsed.GetValue(rounds)!.Value,
                Operations = parsed.GetValue(operations)!.Value,
                Processor = parsed.GetValue(cpu) is int processor ? Processors.Require(processor) : Processors.Last(),
                Measures = parsed.GetValue(measures)!.Split(','),
                Plot = parsed.GetValue(plot),
            },
            new Output(parsed.GetValue(json) || Console.IsOutputRedirected)).Run(cancellation)));
        return command;
    }

    /// <summary>The C client and server to measure with, and how much.</summary>
    private sealed class PeerOptions(string measures, string script, string without = "")
    {
        private readonly Option<string?> _client = new("--client") { HelpName = "PROGRAM", Description = $"The C client to measure with, which the script {script} builds and names here{without}." };
        private readonly Option<string?> _floor = new("--floor") { HelpName = "PROGRAM", Description = "A C server to compare with: it serves on the vfio-user socket that is its only argument." };
        private readonly Option<int?> _rounds = CommonOptions.Number("--rounds", 1, MostRounds, "Rounds; the servers take turns in each.", 9);
        private readonly Option<int?> _starts = CommonOptions.Number("--starts", 1, MostRounds, "How often both servers are started anew; the rounds are spread over the starts.", 1);
        private readonly Option<int?> _operations = CommonOptions.Number("--operations", 1, MostSampled, "Operations for each measure in each round.", 20_000);
        private readonly Option<string> _measures = new("--measures") { HelpName = "PATTERN", DefaultValueFactory = _ => measures, Description = "Which measures, as shell patterns with commas between." };
        private readonly Option<int?> _cpu = CommonOptions.Number("--cpu", 0, Processors.Largest, "The processor that both ends run on; the last one when not given.");

        public void AddTo(Command command)
        {
            foreach (Option option in new Option[] { _client, _floor, _rounds, _starts, _operations, _measures, _cpu })
            {
                command.Options.Add(option);
            }
        }

        public MessagesBenchOptions Of(ParseResult parsed) => new()
        {
            Script = script,
            Client = parsed.GetValue(_client),
            Floor = parsed.GetValue(_floor),
            Rounds = parsed.GetValue(_rounds)!.Value,
            Starts = parsed.GetValue(_starts)!.Value,
            Operations = parsed.GetValue(_operations)!.Value,
            Measures = parsed.GetValue(_measures)!,
            Processor = parsed.GetValue(_cpu) is int processor ? Processors.Require(processor) : Processors.Last(),
        };
    }
}
