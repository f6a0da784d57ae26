using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Penstock.Cli.Demo;
using Spectre.Console;

namespace Penstock.Cli.Bench;

/// <summary>
/// Runs the measuring client against our server and, in turn, against a C floor server, round after round, so that whatever else the machine
/// does hits both alike. Both servers run all the time and are warm.
/// </summary>
internal sealed class MessagesBench(MessagesBenchOptions options, Output output)
{
    private const string Ours = "penstock";
    private const string TheFloor = "floor";

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        RequireProgram(options.Client);
        using var folder = new TemporaryFolder();
        string processor = options.Processor.ToString(CultureInfo.InvariantCulture);
        var servers = new List<(string Label, string Socket)> { (Ours, folder.File("penstock.sock")) };
        using BenchProcess ours = BenchProcess.Start(
            Environment.ProcessPath!, ["serve", "bench", "--socket", servers[0].Socket, "--cpu", processor]);
        BenchProcess? floor = null;
        try
        {
            if (options.Floor is string program)
            {
                RequireProgram(program);
                servers.Add((TheFloor, folder.File("floor.sock")));
                floor = BenchProcess.Start(program, [servers[1].Socket, "--cpu", processor]);
            }

            var results = new List<BenchSample>();

            // One round before the first that counts: the just-in-time compiler and the caches.
            for (int round = -1; round < options.Rounds; round++)
            {
                // The order changes from round to round, so that neither always runs after the other.
                foreach ((string label, string socket) in round % 2 == 0 ? servers : Enumerable.Reverse(servers))
                {
                    cancellation.ThrowIfCancellationRequested();
                    output.Note($"round {round + 1} of {options.Rounds}: {label}");
                    List<BenchSample> samples = await MeasureAsync(label, socket, round, processor, cancellation);
                    if (round >= 0)
                    {
                        results.AddRange(samples);
                    }
                }
            }

            Report(results);
            return ExitStatus.Done;
        }
        finally
        {
            floor?.Dispose();
        }
    }

    private async Task<List<BenchSample>> MeasureAsync(string label, string socket, int round, string processor, CancellationToken cancellation)
    {
        string operations = options.Operations.ToString(CultureInfo.InvariantCulture);
        string[] arguments = ["--label", label, "--measures", options.Measures, "--operations", operations, "--cpu", processor, socket];
        string text = await BenchProcess.RunAsync(options.Client, arguments, cancellation);
        var samples = new List<BenchSample>();
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            JsonNode node = JsonNode.Parse(line) ?? throw new JsonException($"the client printed '{line}'");
            samples.Add(new BenchSample(label, round, node["measure"]!.GetValue<string>(), node["ns_mean"]!.GetValue<double>(), node["ns_p50"]!.GetValue<double>()));
        }

        return samples;
    }

    private void Report(List<BenchSample> results)
    {
        var table = new Table().Border(TableBorder.Simple)
            .AddColumns("measure", "penstock best", "median", "floor best", "median", "best ratio", "median ratio");
        foreach (IGrouping<string, BenchSample> measure in results.GroupBy(r => r.Measure))
        {
            BenchSummary summary = BenchSummary.Of(measure, Ours, TheFloor);
            output.Object(summary.ToJson(measure.Key, options.Rounds));
            table.AddRow(
                measure.Key,
                Nanoseconds(summary.Best),
                Nanoseconds(summary.Median),
                Nanoseconds(summary.FloorBest),
                Nanoseconds(summary.FloorMedian),
                Ratio(summary.BestRatio),
                Ratio(summary.MedianRatio));
        }

        if (!output.Json)
        {
            AnsiConsole.Write(table);
            output.Line("ns for an operation; means of a round; ratios are penstock : floor, the median one over the rounds' pairs.");
        }
    }

    private static void RequireProgram(string path)
    {
        if (!File.Exists(path))
        {
            throw new UsageException($"bench: there is no program '{path}'; 'bench/messages' builds the C peers and runs this command");
        }
    }

    private static string Nanoseconds(double? value) => value?.ToString("F0", CultureInfo.InvariantCulture) ?? "-";

    private static string Ratio(double? value) => value?.ToString("F3", CultureInfo.InvariantCulture) ?? "-";
}
