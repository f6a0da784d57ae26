using System.Globalization;
using System.Text.Json;
using Penstock.Interop;
using Penstock.VfioUser;

namespace Penstock.Cli.Bench;

/// <summary>
/// Runs the measuring client, or our own where none is named, against our server and, in turn, against a C floor server, round after round, so that whatever else the machine
/// does hits both alike. Both servers run and are warm while one of them is measured. Where a process has its code and data in memory is decided
/// when it starts and moves its times by some percent for as long as it lives: so both may be started anew several times in a run.
/// </summary>
internal sealed class MessagesBench(MessagesBenchOptions options, Output output)
{
    private const string Ours = "penstock";
    private const string TheFloor = "floor";

    private readonly string _processor = options.Processor.ToString(CultureInfo.InvariantCulture);

    public async Task<int> RunAsync(CancellationToken cancellation)
    {
        RequireProgram("--client", options.Client);
        RequireProgram("--floor", options.Floor);
        if (options.Client is null)
        {
            MessagesClient.Check(options.Measures);
        }

        var results = new List<BenchSample>();
        int starts = Math.Min(options.Starts, options.Rounds);
        for (int start = 0; start < starts; start++)
        {
            int first = (int)((long)options.Rounds * start / starts);
            int end = (int)((long)options.Rounds * (start + 1) / starts);
            results.AddRange(await MeasureStartAsync(first, end, cancellation));
        }

        Report(results);
        return ExitStatus.Done;
    }

    /// <summary>Rounds with servers of their own.</summary>
    private async Task<List<BenchSample>> MeasureStartAsync(int firstRound, int endRound, CancellationToken cancellation)
    {
        using var folder = new TemporaryFolder();
        var servers = new List<BenchServer>();
        try
        {
            string socket = folder.File("penstock.sock");
            servers.Add(new BenchServer(Ours, socket, new BenchProcess(Environment.ProcessPath!, ["serve", "bench", "--socket", socket, "--cpu", _processor])));
            if (options.Floor is string program)
            {
                socket = folder.File("floor.sock");
                servers.Add(new BenchServer(TheFloor, socket, BenchProcess.StartOn(options.Processor, program, [socket])));
            }

            return await MeasureAsync(servers, firstRound, endRound, cancellation);
        }
        finally
        {
            servers.ForEach(server => server.Process.Dispose());
        }
    }

    private async Task<List<BenchSample>> MeasureAsync(List<BenchServer> servers, int firstRound, int endRound, CancellationToken cancellation)
    {
        // One round before the first that counts: the just-in-time compiler and the caches.
        output.Note("warming up");
        await MeasureRoundAsync(servers, 0, cancellation);
        var results = new List<BenchSample>();
        for (int round = firstRound; round < endRound; round++)
        {
            output.Note($"round {round + 1} of {options.Rounds}");

            // The order changes from round to round, so that neither always runs after the other.
            results.AddRange(await MeasureRoundAsync(round % 2 == 0 ? servers : Enumerable.Reverse(servers), round, cancellation));
        }

        return results;
    }

    private async Task<List<BenchSample>> MeasureRoundAsync(IEnumerable<BenchServer> servers, int round, CancellationToken cancellation)
    {
        var samples = new List<BenchSample>();
        string operations = options.Operations.ToString(CultureInfo.InvariantCulture);
        foreach (BenchServer server in servers)
        {
            if (options.Client is null)
            {
                samples.AddRange(await MeasureHereAsync(server, round));
                cancellation.ThrowIfCancellationRequested();
                continue;
            }

            string[] arguments = ["--label", server.Label, "--measures", options.Measures, "--operations", operations, "--cpu", _processor, server.Socket];
            using var client = new BenchProcess(options.Client, arguments);
            string text;
            try
            {
                text = await client.WaitAsync(server.Process, cancellation);
            }
            catch (IOException e)
            {
                // A server that has gone knows better why.
                await server.Process.RequireRunningAsync();
                throw new IOException($"measuring {server.Label}: {e.Message}", e);
            }

            samples.AddRange(Parse(text, server.Label, round));
        }

        return samples;
    }

    /// <summary>With our own client, on a thread that can be bound to the processor.</summary>
    private Task<List<BenchSample>> MeasureHereAsync(BenchServer server, int round) => Task.Factory.StartNew(
        () =>
        {
            ProcessPlacement.PinCurrentThread(options.Processor);
            using VfioUserClient client = server.Process.Connect(server.Socket, () => VfioUserClient.Connect(server.Socket, OwnPeers.Client));
            return new MessagesClient(client).Measure(options.Measures, options.Operations)
                .Select(m => new BenchSample(server.Label, round, m.Measure, m.Mean)).ToList();
        },
        CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    private List<BenchSample> Parse(string text, string label, int round)
    {
        var samples = new List<BenchSample>();
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            try
            {
                using var document = JsonDocument.Parse(line);
                JsonElement sample = document.RootElement;
                samples.Add(new BenchSample(label, round, sample.GetProperty("measure").GetString()!, sample.GetProperty("ns_mean").GetDouble()));
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
            {
                throw new IOException($"'{options.Client}' printed '{line}', which is no measurement; name the client that 'make -C bench' has built", e);
            }
        }

        return samples.Count > 0 ? samples : throw new IOException(
            $"'{options.Client}' measured nothing of '{options.Measures}' on {label}; give patterns of measures that it knows ('{options.Client} --help')");
    }

    private void Report(List<BenchSample> results)
    {
        bool compare = options.Floor is not null;
        TextTable.Column[] columns = [new("MEASURE"), new("BEST", true), new("MEDIAN", true)];
        TextTable.Column[] peer = [new("FLOOR BEST", true), new("MEDIAN", true), new("RATIO BEST", true), new("MEDIAN", true)];
        var table = new TextTable(compare ? [.. columns, .. peer] : columns);
        foreach (IGrouping<string, BenchSample> measure in results.GroupBy(r => r.Measure))
        {
            BenchSummary summary = BenchSummary.Of(measure, Ours, TheFloor);
            output.Object(summary.ToJson(measure.Key, options.Rounds));
            string[] own = [measure.Key, Nanoseconds(summary.Best), Nanoseconds(summary.Median)];
            string[] beside = [Nanoseconds(summary.FloorBest), Nanoseconds(summary.FloorMedian), Ratio(summary.BestRatio), Ratio(summary.MedianRatio)];
            table.Add(compare ? [.. own, .. beside] : own);
        }

        output.Line($"\n{table}\n");
        output.Line($"Nanoseconds for an operation: best and median of the means of {options.Rounds} rounds.");
        if (compare)
        {
            output.Line("Ratios are Penstock to floor, 1 is as fast as the floor; best to best and median to median.");
        }
    }

    private void RequireProgram(string option, string? path)
    {
        if (path is not null && !File.Exists(path))
        {
            throw new UsageException($"{option}: there is no program '{path}'; the script {options.Script} builds the C peers and runs this command");
        }
    }

    private static string Nanoseconds(double? value) => value?.ToString(value < 100 ? "F1" : "F0", CultureInfo.InvariantCulture) ?? "-";

    private static string Ratio(double? value) => value?.ToString("F3", CultureInfo.InvariantCulture) ?? "-";
}
